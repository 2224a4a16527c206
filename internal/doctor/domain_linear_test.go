package doctor

import (
	"testing"

	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/amtp-go/amtp/internal/test/hostile"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestReadersOfRecordsAreLinear: DNS records and answers of gateways may come from
// anyone.
func TestReadersOfRecordsAreLinear(t *testing.T) {
	slow.Test(t, "it reads long records")
	texts := hostile.Texts("v=amtpkey1;", "v=amtpkey1; alg=RS256; p=MIIB")
	t.Run("key", func(t *testing.T) {
		hostile.Linear(t, texts, 8<<10, func(b []byte) { _, _ = keyFault(string(b)), meansKey(string(b)) })
	})
	t.Run("torn key", func(t *testing.T) {
		hostile.Linear(t, texts, 8<<10, func(b []byte) {
			_ = torn([]string{string(b[:len(b)/2]), string(b[len(b)/2:])})
		})
	})
	t.Run("answer", func(t *testing.T) {
		hostile.Linear(t, hostile.Values(), 8<<10, func(b []byte) { _ = strictjson.Decode(b, new(map[string]any)) })
	})
}
