package peering

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/remote"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// maxSkew is the difference between two clocks above which the check reports it. At twice
// that difference, signatures count as not yet valid.
const maxSkew = amtp.MaxSignatureSkew / 2

// Asker is the local part of the sender of a check's question. It is reserved.
const Asker = "amtp-peer"

// check checks the connection to a peer, and then the way back. It ends at a failure that
// makes further points impossible. If another gateway than the peer's answers, another is
// the point that says so.
func (s *Peering) check(
	ctx context.Context,
	p *discovery.StaticRoute,
) (points []admin.PeerPoint, another *admin.PeerPoint) {
	told, at, fault := s.reach(ctx, p)
	for _, point := range there(p, &told) {
		if fault != nil && fault.point == point.Name {
			point.OK, point.Text, point.Mend = false, fault.text, fault.mend
			points = append(points, point)
			if fault.another {
				another = &point
			}
			return points, another
		}
		points = append(points, point)
	}
	if !at.IsZero() {
		points = append(points, clock(at.Sub(s.Now())))
	}
	if p.Capabilities.Signs() {
		points = append(points, s.back(ctx, p))
	}
	return points, nil
}

// there returns the points of a connection to a peer that works, in the order of the check.
func there(p *discovery.StaticRoute, told *amtp.DomainKeys) []admin.PeerPoint {
	keys := admin.PeerPoint{Name: pointKeys, OK: len(told.Keys) > 0,
		Text: fmt.Sprintf("it signs, and tells %d of its keys", len(told.Keys))}
	if !keys.OK {
		keys.Mend = "look at its log: a gateway with a domain has a key"
	}
	if !p.Capabilities.Signs() {
		keys = admin.PeerPoint{Name: pointKeys, OK: true, Text: "it need not sign: what comes from it is not verified"}
	}
	return []admin.PeerPoint{
		{Name: pointAddress, OK: true, Text: p.Capabilities.Gateway + " answers"},
		{Name: pointCertificate, OK: true, Text: "matches the pin or authority"},
		{Name: pointDomain, OK: true, Text: "it is the gateway of " + string(p.Domain)},
		keys,
	}
}

// clock judges how far the peer's clock is ahead of this gateway's.
func clock(skew time.Duration) admin.PeerPoint {
	which := "behind"
	if skew > 0 {
		which = "ahead of"
	}
	if skew.Abs() > maxSkew {
		return admin.PeerPoint{Name: "clock", Text: fmt.Sprintf("the clock there is %s %s ours",
			skew.Abs().Round(time.Second), which), Mend: "set whichever is wrong"}
	}
	return admin.PeerPoint{Name: "clock", OK: true, Text: "the two clocks agree"}
}

// back asks the gateway of a peer how it sees this one.
func (s *Peering) back(ctx context.Context, p *discovery.StaticRoute) admin.PeerPoint {
	point := admin.PeerPoint{Name: "them"}
	mend := fmt.Sprintf("over there: amtp peer add %s URL --pin HASH; the whole line: amtp peer self", s.Domain)
	answer, refused, status, err := s.ask(ctx, p)
	switch {
	case err != nil:
		point.Text, point.Mend = "what it makes of this gateway is not known: "+err.Error(),
			"look at the log over there"
	case unknownThere(refused), status == http.StatusOK && answer.Authentication.Result != amtp.AuthPass:
		point.Text,
			point.Mend = fmt.Sprintf("it does not know the keys of %s, so it treats nothing from here as verified",
			s.Domain), mend
	case status == http.StatusServiceUnavailable:
		point.Text, point.Mend = "it does not reach this gateway, so it cannot check what comes from here",
			"over there, and then what it says: amtp peer check "+string(s.Domain)
	case status != http.StatusOK:
		point.Text, point.Mend = fmt.Sprintf("it does not say what it makes of this gateway (%d)", status),
			"over there: amtp version"
	case answer.Listed && !answer.Reached:
		point.Text, point.Mend = "it verifies what comes from here, and does not reach this gateway: "+
			gateway.Short(answer.Problem),
			"over there: amtp peer check "+string(s.Domain)
	default:
		point.OK, point.Text = true, "it reaches this gateway and verifies what comes from here"
		if !answer.Listed {
			point.Text = "it verifies what comes from here; it finds this gateway without being told"
		}
	}
	return point
}

// unknownThere reports whether a gateway refused because it knows no key that made this
// gateway's signature. A key that it cannot look up now does not count. A key that it looked
// up and did not find does. AMTP §9.
func unknownThere(e *amtp.Error) bool {
	if e == nil {
		return false
	}
	switch e.Code {
	case amtp.CodeSignatureRequired, amtp.CodeSignatureInvalid:
		return true
	case amtp.CodeSignatureKeyUnavailable:
		return e.Details["reason"] == string(amtp.ReasonKeyMissing)
	}
	return false
}

// ask sends the gateway of a peer a signed question. refused is its error if it did not
// answer the question.
func (s *Peering) ask(ctx context.Context, p *discovery.StaticRoute) (answer amtp.PeerAnswer, refused *amtp.Error,
	status int, err error) {
	question, err := s.question(p.Domain)
	if err != nil {
		return answer, nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	got, err := remote.Call(ctx, p.Client, http.MethodPost, p.Capabilities.Gateway, "/v1/peers/check", question)
	if err != nil {
		return answer, nil, 0, fmt.Errorf("%s", faultOf(p, err).text)
	}
	if got.Status == http.StatusOK {
		return answer, nil, got.Status, strictjson.Decode(got.Body, &answer)
	}
	var said struct {
		Error *amtp.Error `json:"error"`
	}
	_ = strictjson.Decode(got.Body, &said) // without a valid body the status says what happened
	return answer, said.Error, got.Status, nil
}

// question is the message of a check. It is from and to reserved names, and signed like any
// other message.
func (s *Peering) question(to amtp.Domain) ([]byte, error) {
	id := amtp.NewMessageID()
	body, err := json.Marshal(map[string]any{
		"version": amtp.Version, "message_id": id, "idempotency_key": id, "timestamp": amtp.Time{Time: s.Now()},
		"sender": Asker + "@" + string(s.Domain), "recipients": []string{Asker + "@" + string(to)},
		"payload": map[string]any{},
	})
	if err != nil {
		return nil, err
	}
	return s.Signer().Sign(body)
}

// Answer answers the question of another gateway's check. A caller that proved nothing
// learns only what is wrong with its signature.
func (s *Peering) Answer(ctx context.Context, caller gateway.Principal) (amtp.PeerAnswer, error) {
	answer := amtp.PeerAnswer{Domain: s.Domain, Authentication: caller.Found.Authentication}
	if caller.Class() != gateway.ClassDomain {
		return answer, nil
	}
	p, err := s.Route(ctx, caller.Domain)
	if err != nil {
		return answer, err
	}
	if answer.Listed = p != nil; !answer.Listed {
		return answer, nil
	}
	_, _, fault := s.reach(ctx, p)
	if answer.Reached = fault == nil; !answer.Reached {
		answer.Problem = fault.text
	}
	return answer, nil
}
