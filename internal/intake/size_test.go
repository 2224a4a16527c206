package intake_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

// sizes has the sizes that the gateways of some domains accept. Every message has a
// hundred bytes more in transit.
type sizes struct {
	most  map[amtp.Domain]int64
	asked int // calls for the size of a message
}

func (s *sizes) Most(d amtp.Domain) int64 { return s.most[d] }

func (s *sizes) Size(m *amtp.Message, e amtp.PeerEnvelope) int64 {
	s.asked++
	return int64(len(m.Raw()) + 100 + len(e.Recipient.String()))
}

// TestTooLargeForThere: a message that another gateway would refuse for its size is
// refused at once, as far as the limit is known here, and only for that recipient.
func TestTooLargeForThere(t *testing.T) {
	h := openHouse(t)
	body := func(to ...string) string {
		return fmt.Sprintf(`{"sender":"alice@ours.example","recipients":["%s"],"payload":"%s"}`,
			strings.Join(to, `","`), strings.Repeat("x", 10_000))
	}
	send := func(s *sizes, to ...string) (*amtp.SendResult, *amtp.Error) {
		h.door.Sizes = s
		return h.acceptBody(h.door, "alice", body(to...))
	}
	one := int64(len(body("ann@far.example")) + 100 + len("ann@far.example"))
	for _, c := range []struct {
		most int64
		code amtp.Code
		size int // how often the size is computed
	}{
		{0, "", 0}, {one + 4096, "", 0}, {one, "", 1}, {one - 1, amtp.CodeMessageTooLarge, 1},
		{1000, amtp.CodeMessageTooLarge, 1},
	} {
		before := len(h.stored())
		s := &sizes{most: map[amtp.Domain]int64{"far.example": c.most}}
		_, refused := send(s, "ann@far.example")
		code := amtp.Code("")
		if refused != nil {
			code = refused.Code
		}
		if stored := len(h.stored()) - before; code != c.code || s.asked != c.size || (stored == 1) != (c.code == "") {
			t.Errorf("a message of %d bytes to a gateway that takes %d: %q, stored %d times, and its size was asked for %d times; want %q and %d",
				one, c.most, code, stored, s.asked, c.code, c.size)
		}
	}
	s := &sizes{most: map[amtp.Domain]int64{"far.example": 1000, "other.example": 1 << 20}}
	result, refused := send(s, "ann@far.example", "bob@ours.example", "ben@far.example", "cy@other.example",
		"di@unknown.example")
	if refused != nil {
		t.Fatalf("to five recipients = %v, want a result", refused)
	}
	var got []string
	for _, r := range result.Recipients {
		got = append(got, fmt.Sprint(r.Address.Local(), " ", r.Status, " ", r.ErrorCode))
	}
	want := "ann failed MESSAGE_TOO_LARGE, bob delivered , ben failed MESSAGE_TOO_LARGE, cy queued , di queued "
	if strings.Join(got, ", ") != want || s.asked != 1 {
		t.Errorf("the recipients are %s, and the size was asked for %d times; want %s and once",
			strings.Join(got, ", "), s.asked, want)
	}
}
