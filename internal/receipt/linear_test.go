package receipt

import (
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/hostile"
)

// TestReadingIsLinear: receipts come from other domains, which may make them hard to read.
func TestReadingIsLinear(t *testing.T) {
	shapes := hostile.Within(hostile.Values(), `{"message_type":"`+amtp.TypeReceipts+`","receipts":`, `}`)
	shapes = append(shapes, hostile.Within(hostile.Values(),
		`{"message_type":"`+amtp.TypeReceipts+`","receipts":[{"message_id":`, `}]}`)...)
	hostile.Linear(t, shapes, 16<<10, func(doc []byte) { _, _ = read(doc) })
}
