package cli

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
)

// registering is a registration of which no answer came yet. It is saved before the
// gateway is asked: that shows that an identity can be saved, and the same command, run
// again, gets the key that the first one has made.
type registering struct {
	Name    string        `json:"name"`
	Gateway string        `json:"gateway"`
	Key     string        `json:"key"`   // amtp.NewAgent.IdempotencyKey
	Agent   amtp.NewAgent `json:"agent"` // what was asked for: a repetition asks for the same
	Begun   time.Time     `json:"begun"`
	again   bool
	made    bool // the config file, which was not there
}

// registeringTime is how long a gateway answers the same registration again.
const registeringTime = 10 * time.Minute

// register begins the registration of a name, or goes on with one of which no answer
// came. Its key goes to the gateway that it was made for, or stays on this machine.
func (id *identity) register(name string, agent amtp.NewAgent) (registering, error) {
	var before registering
	err := json.Unmarshal([]byte(id.saved(memberRegistering)), &before)
	there := sameGateway(before.Gateway, id.gateway) || loopback.IsURL(before.Gateway) && loopback.IsURL(id.gateway)
	if age := time.Since(before.Begun); err == nil && there && strings.EqualFold(before.Name, name) &&
		before.Agent.Address != "" && age >= 0 && age < registeringTime {
		before.again = true
		return before, nil
	}
	_, err = os.Stat(id.file)
	now := registering{Name: name, Gateway: id.gateway, Key: rand.Text(), Agent: agent, Begun: time.Now().UTC(),
		made: errors.Is(err, fs.ErrNotExist)}
	text, err := json.Marshal(now)
	if err != nil {
		return now, err
	}
	return now, id.save(map[string]string{memberRegistering: string(text)})
}

// gaveUp forgets the attempt when the gateway has refused it, or was not reached by
// the first one, and returns the error. When no answer came, or one that says to come
// again, the attempt stays.
func (id *identity) gaveUp(attempt registering, err error) error {
	var refused *amtp.Error
	var told *failure
	var line *net.OpError
	var foreign *loopback.ForeignError
	unsent := !attempt.again && (errors.As(err, &line) && line.Op == "dial" || errors.As(err, &foreign))
	final := unsent || errors.As(err, &refused) && refused.Status >= 400 && refused.Status < 500 ||
		errors.As(err, &told) && told.code == amtp.CodeConflict
	if attempt.Key != "" && final {
		// What stays of it harms nobody.
		if forgot := id.save(map[string]string{memberRegistering: ""}); forgot == nil && attempt.made {
			_ = id.dropEmpty()
		}
	}
	return err
}
