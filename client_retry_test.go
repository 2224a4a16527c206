package amtp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
)

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string, header ...string) *http.Response {
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// scripted answers the nth request with the nth step.
func scripted(steps ...func() (*http.Response, error)) (*amtp.Client, *[]string) {
	var bodies []string
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
		if len(bodies) > len(steps) {
			return nil, errors.New("one request too many")
		}
		return steps[len(bodies)-1]()
	})
	return &amtp.Client{URL: "https://gateway.example", HTTP: &http.Client{Transport: transport}}, &bodies
}

func says(status int, body string, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) { return answer(status, body, header...), nil }
}

func breaks() (*http.Response, error) { return nil, errors.New("connection reset") }

func halfAnswer() (*http.Response, error) {
	r := answer(200, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"addr`), failing{}))
	return r, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWhatIsSafeIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, bodies := scripted(breaks, halfAnswer, says(408, `{}`), says(202, `{"message_id":"m1"}`))
		sent, err := c.Send(t.Context(), amtp.Message{Payload: json.RawMessage(`1`)})
		if err != nil || sent.MessageID != "m1" {
			t.Fatalf("Send = %+v, %v", sent, err)
		}
		for _, b := range *bodies {
			if b != (*bodies)[0] || !strings.Contains(b, "idempotency_key") {
				t.Errorf("the repetitions differ: %q", *bodies)
			}
		}
	})
}

func TestTriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, bodies := scripted(says(502, ``), says(504, ``), says(429, ``), says(503, ``))
		begun := time.Now()
		_, err := c.Send(t.Context(), amtp.Message{})
		var e *amtp.Error
		if !errors.As(err, &e) || e.Status != 503 || len(*bodies) != 4 {
			t.Errorf("got %v after %d requests, want status 503 after 4", err, len(*bodies))
		}
		if took := time.Since(begun); took < 500*time.Millisecond || took > time.Second {
			t.Errorf("the pauses took %v", took)
		}
		c.Retries, *bodies = 1, nil
		if c.Send(t.Context(), amtp.Message{}); len(*bodies) != 2 {
			t.Errorf("with Retries 1: %d requests", len(*bodies))
		}
	})
}

func TestRetryAfterIsHonouredWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(says(429, ``, "Retry-After", "3"), says(200, `{}`))
		begun := time.Now()
		if _, err := c.WhoAmI(t.Context()); err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("%v after %v, want success after 3s", err, time.Since(begun))
		}

		at := time.Now().Add(5 * time.Second).UTC().Format(http.TimeFormat)
		c, _ = scripted(says(503, ``, "Retry-After", at), says(200, `{}`))
		begun = time.Now()
		if _, err := c.WhoAmI(t.Context()); err != nil || time.Since(begun) != 5*time.Second {
			t.Errorf("%v after %v, want success after 5s", err, time.Since(begun))
		}

		c, bodies := scripted(says(503, ``, "Retry-After", "60"))
		_, err := c.WhoAmI(t.Context())
		var e *amtp.Error
		if !errors.As(err, &e) || e.RetryAfter != time.Minute || len(*bodies) != 1 {
			t.Errorf("got %+v after %d requests, want RetryAfter 1m at once", err, len(*bodies))
		}
	})
}

func TestWhatIsNotSafeIsMadeOnce(t *testing.T) {
	ctx := t.Context()
	calls := map[string]func(*amtp.Client) error{
		"Register": func(c *amtp.Client) error {
			_, err := c.Register(ctx, amtp.NewAgent{Address: "a"})
			return err
		},
		"IssueKey":    func(c *amtp.Client) error { _, err := c.IssueKey(ctx, "a", true); return err },
		"DeleteAgent": func(c *amtp.Client) error { return c.DeleteAgent(ctx, "a") },
		"RevokeKey":   func(c *amtp.Client) error { return c.RevokeKey(ctx, "a", "k") },
	}
	for name, call := range calls {
		c, bodies := scripted(breaks, breaks)
		var lost *amtp.ConnectError
		if err := call(c); !errors.As(err, &lost) || len(*bodies) != 1 {
			t.Errorf("%s: %v after %d requests, want one *ConnectError", name, err, len(*bodies))
		}
	}
}

func TestARefusalIsNotTriedAgain(t *testing.T) {
	for _, status := range []int{301, 400, 401, 403, 404, 409, 413, 422, 500} {
		c, bodies := scripted(says(status, ``))
		c.Status(t.Context(), "m1")
		if len(*bodies) != 1 {
			t.Errorf("status %d: %d requests", status, len(*bodies))
		}
	}
}

func TestAContextEndsThePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(says(503, ``, "Retry-After", "8"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := c.WhoAmI(ctx); err == nil || time.Since(begun) != 0 {
			t.Errorf("%v after %v, want the refusal at once", err, time.Since(begun))
		}

		c, _ = scripted(says(503, ``, "Retry-After", "8"))
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		begun = time.Now()
		if _, err := c.WhoAmI(ctx); err == nil || time.Since(begun) != time.Second {
			t.Errorf("%v after %v, want the refusal after 1s", err, time.Since(begun))
		}
	})
}

func TestCannotConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	base := fmt.Sprintf("http://%s", l.Addr())
	_, err = (&amtp.Client{URL: base, Retries: -1}).WhoAmI(t.Context())
	var lost *amtp.ConnectError
	if !errors.As(err, &lost) || lost.URL != base || !strings.HasPrefix(err.Error(),
		"cannot connect to gateway at "+base) {
		t.Errorf("got %v, want *ConnectError", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&amtp.Client{URL: base}).WhoAmI(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

func TestAnAnswerThatIsTooLargeIsRefused(t *testing.T) {
	c := &amtp.Client{URL: "https://gateway.example",
		HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			r := answer(200, "")
			r.ContentLength = 64<<20 + 1
			return r, nil
		})}}
	_, err := c.WhoAmI(t.Context())
	var e *amtp.Error
	if !errors.As(err, &e) || e.Code != amtp.CodeUnknown {
		t.Errorf("got %v, want UNKNOWN", err)
	}
}
