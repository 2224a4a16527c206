package profile

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
)

// Registering is a registration of which no answer came yet. It is saved before the gateway
// is asked: that shows that an identity can be saved, and the same command, run again, gets
// the key that the first one has made.
type Registering struct {
	Name    string        `json:"name"`
	Gateway string        `json:"gateway"`
	Key     string        `json:"key"`   // amtp.NewAgent.IdempotencyKey
	Agent   amtp.NewAgent `json:"agent"` // what was asked for: a repetition asks for the same
	Begun   time.Time     `json:"begun"`
	Again   bool          `json:"-"` // it goes on with one that began earlier
	made    bool          // the config file, which was not there
}

// registeringTime is how long a gateway answers the same registration again.
const registeringTime = 10 * time.Minute

// Register begins the registration of a name, or goes on with one of which no answer
// came. Its key goes to the gateway that it was made for, or stays on this machine.
func (id *Identity) Register(name string, agent amtp.NewAgent) (Registering, error) {
	var before Registering
	err := json.Unmarshal([]byte(id.Saved(MemberRegistering)), &before)
	there := SameGateway(before.Gateway, id.Gateway) || loopback.IsURL(before.Gateway) && loopback.IsURL(id.Gateway)
	if age := time.Since(before.Begun); err == nil && there && strings.EqualFold(before.Name, name) &&
		before.Agent.Address != "" && age >= 0 && age < registeringTime {
		before.Again = true
		return before, nil
	}
	_, err = os.Stat(id.Path)
	now := Registering{Name: name, Gateway: id.Gateway, Key: rand.Text(), Agent: agent, Begun: time.Now().UTC(),
		made: errors.Is(err, fs.ErrNotExist)}
	text, err := json.Marshal(now)
	if err != nil {
		return now, err
	}
	return now, id.Save(map[string]string{MemberRegistering: string(text)})
}

// GiveUp forgets the attempt, and removes the file when the attempt made it and nothing
// else is in it. An attempt that cannot be removed does no harm, so there is no error.
func (id *Identity) GiveUp(attempt Registering) {
	if err := id.Save(map[string]string{MemberRegistering: ""}); err == nil && attempt.made {
		_ = id.dropEmpty()
	}
}
