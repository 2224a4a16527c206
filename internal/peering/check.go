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

// maxSkew is by how much two clocks may differ before it is worth a word: at
// twice that, signatures count as not yet valid.
const maxSkew = amtp.MaxSignatureSkew / 2

// Asker is the local part of who asks in a check. It is reserved.
const Asker = "amtp-peer"

// check looks at a peer, first from here to there, then the other way round. It
// ends with the first point that leaves nothing more to see. another is the point
// that says that a gateway answers there, and not the one that is meant.
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

// there is what the way to a peer shows when nothing is wrong with it, in the
// order in which it is seen.
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

// clock judges by how much the clock there is ahead of ours.
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

// back asks the gateway of a peer what it makes of us.
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

// unknownThere reports whether a gateway refused because the signature of this
// one is not one of the keys that it has for our domain. That it has none now is
// something else, unless it says that it looked. AMTP §9.
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

// ask sends the gateway of a peer a signed question. refused is what it said when
// it did not answer it.
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
	_ = strictjson.Decode(got.Body, &said) // what is no answer of a gateway has its status only
	return answer, said.Error, got.Status, nil
}

// question is a message from nobody to nobody, signed as any other.
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

// Answer says what this gateway makes of the one that asks in a check. Who
// proved nothing hears what is wrong with his signature and no more.
func (s *Peering) Answer(ctx context.Context, caller gateway.Principal) (amtp.PeerAnswer, *amtp.Error) {
	answer := amtp.PeerAnswer{Domain: s.Domain, Authentication: caller.Found.Authentication}
	if caller.Class() != gateway.ClassDomain {
		return answer, nil
	}
	p, err := s.Route(ctx, caller.Domain)
	if err != nil {
		return answer, gateway.Refusal(err)
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
