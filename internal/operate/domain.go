package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/keyring"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// OtherDomainError means that the data belongs to a gateway of a domain other than the
// one that is to start.
type OtherDomainError struct {
	Was    amtp.Domain // the domain that it served
	Now    amtp.Domain // the domain that it would serve
	Agents int         // agents with addresses in Was
}

func (e *OtherDomainError) Error() string {
	agents := fmt.Sprintf("%d agents have addresses there", e.Agents)
	if e.Agents == 1 {
		agents = "1 agent has its address there"
	}
	text := fmt.Sprintf("the data is that of a gateway for %s (%s), and this start is for %s", e.Was, agents, e.Now)
	if e.Now == "localhost" {
		text += ", where every program of the machine may send"
	}
	return text
}

// Readdress gives the agents their addresses in the gateway's domain, at every start.
// An agent that registered before there was a domain gets an address in it. The gateway
// gives up a domain only if the operator says so: a forgotten setting must not rename
// an agent, nor open the gateway. docs/decisions/013, 038
func Readdress(cfg config.Config, s gateway.Store, log *slog.Logger) error {
	ctx, to := context.Background(), cfg.Server.Domain
	agents := s.Agents(ctx)
	was, err := servedDomain(ctx, s)
	if err != nil {
		return err
	}
	former := otherDomains(agents, to)
	if was != "" && was != to && !slices.Contains(former, was) {
		former = append(former, was)
	}
	for _, from := range former {
		if from != "localhost" && !cfg.GivesUp(from) {
			return &OtherDomainError{Was: from, Now: to, Agents: living(agents, from)}
		}
	}
	for _, from := range former {
		done, err := s.Readdress(ctx, from, to)
		if err != nil {
			return fmt.Errorf("give the agents of %s their addresses in %s: %w", from, to, err)
		}
		for _, address := range done.Moved {
			log.Info("an agent has a new address", "agent", address.String(), "before", string(from))
		}
		for _, address := range done.Stayed {
			log.Warn("an agent keeps its address, because its name is taken in the domain; no message reaches it there",
				"agent", address.String())
		}
	}
	return serveDomain(ctx, s, was, to)
}

// living counts the agents in a domain.
func living(agents []*gateway.Agent, in amtp.Domain) (n int) {
	for _, a := range agents {
		if a.Address.Domain() == in {
			n++
		}
	}
	return n
}

// served is the kind of document in which the store remembers the gateway's domain. It
// is not sealed, because it is no secret.
const served = "domain"

// servedDomain is the domain that the last gateway on the store served, "" for none.
func servedDomain(ctx context.Context, s gateway.Documents) (amtp.Domain, error) {
	list, err := s.Documents(ctx, served)
	if err != nil || len(list) == 0 {
		return "", err
	}
	var d amtp.Domain
	err = json.Unmarshal(list[0].Facts, &d)
	return d, err
}

// serveDomain stores the domain, if it has changed.
func serveDomain(ctx context.Context, s gateway.Documents, was, now amtp.Domain) error {
	if now == "localhost" {
		now = ""
	}
	if was == now {
		return nil
	}
	return s.ChangeDocuments(ctx, served, func([]gateway.Document) ([]gateway.Document, error) {
		if now == "" {
			return nil, nil
		}
		facts, err := json.Marshal(now)
		return []gateway.Document{{Kind: served, Name: "served", Sealed: []byte{}, Facts: facts,
			Created: time.Now()}}, err
	})
}

// otherDomains returns the domains of agents other than the one given.
func otherDomains(agents []*gateway.Agent, but amtp.Domain) []amtp.Domain {
	var list []amtp.Domain
	for _, a := range agents {
		if d := a.Address.Domain(); d != but && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

// PrepareDomain makes the first signing key for the configured domain, in a data
// directory in which no gateway runs. It returns what the next start in that domain
// will do with the agents there. A second call changes nothing. When a name is taken in
// the domain it changes nothing, and the error is an [*amtp.Error].
func PrepareDomain(ctx context.Context, cfg config.Config) (plan admin.DomainPlan, err error) {
	if !cfg.Federated() {
		return plan, ErrNoDomain
	}
	s, release, err := openFirst(cfg)
	if err != nil {
		return plan, err
	}
	defer func() { err = errors.Join(err, release()) }()
	plan, refused := agent.Plan(s.Agents(ctx), cfg.Server.Domain)
	if refused != nil {
		return plan, refused
	}
	ring := &keyring.Keyring{Store: s, Domain: cfg.Server.Domain, Now: time.Now}
	if err := LoadKeys(cfg, ring); err != nil {
		return plan, err
	}
	plan.Keys, err = ring.Keys(ctx)
	return plan, err
}

// SigningKeys returns the signing keys in the store of a gateway, which may be running.
// A directory in which no gateway ever started has none.
func SigningKeys(ctx context.Context, cfg config.Config) ([]admin.SigningKey, error) {
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName)); !Shared(cfg) && errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no gateway was started here yet
	}
	return signingKeys(ctx, cfg)
}
