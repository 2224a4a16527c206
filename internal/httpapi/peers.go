package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/peering"
)

// peers returns the peers of this gateway, for its operator.
func (c *call) peers() (*peering.Peering, error) {
	if c.s.Peering == nil {
		return nil, amtp.Errorf(amtp.CodeConflict,
			"This gateway has no domain of its own, so there is nobody to be a peer of. Give it one with server.domain and start it again.")
	}
	return c.s.Peering, nil
}

// listPeers shows the domains that are reached without DNS.
func (s *Server) listPeers(c *call) {
	peers, err := c.peers()
	if err != nil {
		c.fail(err)
		return
	}
	list, err := peers.List(c.r.Context())
	list.Flagged = s.Verifier.Flagged()
	c.result(http.StatusOK, list, err)
}

// addPeer stores how a domain is reached.
func (s *Server) addPeer(c *call) {
	peers, err := c.peers()
	if err != nil {
		c.fail(err)
		return
	}
	var n admin.NewPeer
	if err := c.decode(&n, false); err != nil {
		c.fail(err)
		return
	}
	report, err := peers.Add(c.r.Context(), n)
	c.note("domain", string(report.Peer.Domain), "gateway", report.Peer.Gateway)
	c.result(http.StatusCreated, report, err)
}

// removePeer removes a peer; its domain is looked up in DNS again.
func (s *Server) removePeer(c *call) {
	peers, err := c.peers()
	if err != nil {
		c.fail(err)
		return
	}
	d := peerDomain(c)
	c.note("domain", string(d))
	err = peers.Remove(c.r.Context(), d)
	c.result(http.StatusOK, map[string]any{"message": "Peer removed", "domain": d}, err)
}

// checkPeer tests the connection to a peer and the peer's answers.
func (s *Server) checkPeer(c *call) {
	peers, err := c.peers()
	if err != nil {
		c.fail(err)
		return
	}
	report, err := peers.Check(c.r.Context(), peerDomain(c))
	c.result(http.StatusOK, report, err)
}

// peerDomain is the domain that the path names. A text that is no domain matches no peer.
func peerDomain(c *call) amtp.Domain {
	d, err := amtp.ParseDomain(c.r.PathValue("domain"))
	if err != nil {
		return amtp.Domain(gateway.Short(c.r.PathValue("domain")))
	}
	return d
}

// maxQuestion bounds the question of a peer, which is a message without content.
const maxQuestion = 4 << 10

// answerPeer tells another gateway how this one sees it. The question is a message that
// is verified like any other, and is not delivered.
func (s *Server) answerPeer(c *call) {
	if !c.asks() {
		return
	}
	if s.Verifier == nil {
		c.fail(noDomainHere(s.Domain))
		return
	}
	if c.r.ContentLength < 0 || c.r.ContentLength > maxQuestion {
		e := c.tooLarge()
		e.Message, e.Details = "The question of another gateway says how many bytes it has, and has at most 4096.",
			map[string]any{"max_size": maxQuestion}
		c.fail(e)
		return
	}
	m, err := c.question()
	if err != nil {
		c.fail(err)
		return
	}
	asking := intake.Arrival{Message: m, Principal: gateway.Principal{From: c.addr}, From: c.from}
	caller, err := s.Intake.Verify(c.r.Context(), asking)
	if err != nil {
		c.fail(err)
		return
	}
	answer, err := s.Peering.Answer(c.r.Context(), caller)
	c.result(http.StatusOK, answer, err)
}

// question reads the message of another gateway that asks.
func (c *call) question() (*amtp.Message, error) {
	body, err := c.body(amtp.CodeInvalidMessage, false)
	if err != nil {
		return nil, err
	}
	m, wrong := amtp.ParseMessage(body)
	switch {
	case wrong != nil:
		return nil, wrong
	case len(m.Recipients) != 1 || m.Recipients[0].Domain() != c.s.Domain || m.Sender.Domain() == c.s.Domain ||
		m.Sender.Domain() == "localhost":
		return nil, amtp.Errorf(amtp.CodeInvalidRecipient,
			"Another gateway asks here, with one recipient in %s and a sender in its own domain.", c.s.Domain)
	}
	return m, nil
}

// domainKeys shows the keys that this domain publishes. They are public in DNS; this is
// for callers who know the gateway and have no DNS for its domain.
func (s *Server) domainKeys(c *call) {
	if !c.asks() {
		return
	}
	if s.Keys == nil {
		c.fail(noDomainHere(s.Domain))
		return
	}
	keys, err := s.Keys.Keys(c.r.Context())
	if err != nil {
		c.fail(err)
		return
	}
	now := s.Now()
	told := amtp.DomainKeys{Domain: s.Domain, Keys: []amtp.DomainKey{}, Timestamp: amtp.Time{Time: now}}
	for _, k := range keys {
		if k.State != admin.KeyRetired || k.Until.After(now) {
			told.Keys = append(told.Keys, amtp.DomainKey{Selector: k.Selector, Record: k.Record})
		}
	}
	c.reply(http.StatusOK, told)
}

func noDomainHere(d amtp.Domain) error {
	return amtp.Errorf(amtp.CodeDomainNotFound,
		"This gateway serves %s only and has no domain by which others know it.", d).With("requested_domain", string(d))
}
