package app_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/pgtest"
)

// TestLimitsAreShared: two gateways on one database accept together from a domain what
// one would, and at most an eighth more for each of them. Then both refuse.
func TestLimitsAreShared(t *testing.T) {
	url, one, two := pgtest.Database(t, "empty", nil), t.TempDir(), t.TempDir()
	// A domain that proves nothing may send ten messages a minute, 100 at once.
	const burst, most = 100, 100 + 2*100/8 + 2
	first := runs(t, url, one, "AMTP_LIMITS_MESSAGES_PER_MINUTE=10")
	seal := filepath.Join(t.TempDir(), "seal")
	if err := os.WriteFile(seal, sealKeyOf(t, one), 0o600); err != nil {
		t.Fatal(err)
	}
	second := runs(t, url, two, "AMTP_LIMITS_MESSAGES_PER_MINUTE=10", "AMTP_SEAL_KEY_FILE="+seal)
	if _, err := adminOf(t, first, one).Register(t.Context(), amtp.NewAgent{Address: "bob"}); err != nil {
		t.Fatal(err)
	}
	taken, refused := 0, [2]int{}
	for i := range 3 * burst {
		at := []string{first.URL(), second.URL()}[i%2]
		body := fmt.Sprintf(`{"version":"1.0","message_id":"m%d","sender":"s%d@far.example","recipients":["bob@a.example"]}`,
			i, i)
		resp, err := http.Post(at+"/v1/messages", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusAccepted:
			taken++
		case http.StatusTooManyRequests:
			refused[i%2]++
		default:
			t.Fatalf("message %d: %d %s", i, resp.StatusCode, raw)
		}
	}
	// On a slow machine the allowance regrows meanwhile: one message in six seconds.
	if taken < burst || taken > most+burst/2 || refused[0] == 0 || refused[1] == 0 {
		t.Errorf("%d messages were taken, and the gateways refused %v; want %d to %d, and both to refuse", taken,
			refused, burst, most)
	}
}
