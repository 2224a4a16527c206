package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amtp-go/amtp"
)

// The members of the identity file. Others are kept as they are.
const (
	memberGateway  = "gatewayUrl"
	memberName     = "agentName"
	memberAddress  = "agentAddress"
	memberKey      = "apiKey"
	memberAdminKey = "adminKey"
	memberAdminFor = "adminKeyGateway" // whose adminKey it is; absent: gatewayUrl's
)

// identity is who the user is at which gateway, from the flags, the environment
// and the file, in this order.
type identity struct {
	file     string // where it is saved
	members  map[string]json.RawMessage
	gateway  string
	name     string
	address  string
	key      string
	adminKey string
	saves    bool // what the file says of the agent is said of this gateway
}

// identity reads the file, which need not exist, and the environment.
func (p *program) identity() (*identity, error) {
	id := &identity{file: p.configFile, members: make(map[string]json.RawMessage)}
	if id.file == "" {
		if p.home == "" {
			return nil, usageErrorf("There is no home directory: set HOME, or give --config FILE.")
		}
		id.file = filepath.Join(p.home, ".amtp-config.json")
	}
	doc, err := os.ReadFile(id.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exit: exitUnauthorised, code: codeNotSetUp,
			message: "Cannot read the config file: " + err.Error() + ".",
			hint:    "make it readable for you, or give another one: --config FILE"}
	}
	if len(bytes.TrimSpace(doc)) > 0 {
		if err := json.Unmarshal(doc, &id.members); err != nil || id.members == nil {
			return nil, &failure{exit: exitUnauthorised, code: codeNotSetUp,
				message: fmt.Sprintf("The config file %s is not a JSON object.", id.file),
				hint:    `repair it, or remove it and run "amtp setup --name <agent-name>"`}
		}
	}
	id.gateway = firstOf(p.gateway, p.getenv("AMTP_GATEWAY_URL"), id.saved(memberGateway))
	id.name = firstOf(p.getenv("AMTP_AGENT_NAME"), id.saved(memberName))
	id.key, id.adminKey = p.getenv("AMTP_API_KEY"), p.getenv("AMTP_ADMIN_KEY")
	id.saves = mayGo(id.saved(memberGateway), id.gateway)
	if id.saves {
		id.key = firstOf(id.key, id.saved(memberKey))
		if id.key == id.saved(memberKey) { // another key may be another agent's
			id.address = id.saved(memberAddress)
		}
	}
	if mayGo(firstOf(id.saved(memberAdminFor), id.saved(memberGateway)), id.gateway) {
		id.adminKey = firstOf(id.adminKey, id.saved(memberAdminKey))
	}
	p.name = id.name
	return id, nil
}

// mayGo reports whether a key that the file has for the gateway at holder may
// go to the gateway that is used. A file without a gateway was written by hand,
// for one on this machine.
func mayGo(holder, used string) bool {
	if holder == "" {
		return used == "" || isLoopback(used)
	}
	return sameGateway(holder, used)
}

// saved returns a text of the file, "" when it has none.
func (id *identity) saved(member string) string {
	var s string
	if json.Unmarshal(id.members[member], &s) != nil {
		return ""
	}
	return s
}

// need returns the failure for the first of the members that is not known.
func (id *identity) need(members ...string) error {
	for _, m := range members {
		switch {
		case m == memberGateway && id.gateway == "":
			return missing(m, "Set AMTP_GATEWAY_URL env var or run setup first.")
		case m == memberAddress && id.address == "" && id.key == "":
			return id.elsewhere(missing(m, `Run "amtp setup" first.`))
		case m == memberKey && id.key == "":
			return id.elsewhere(missing(m, `Run "amtp setup" first, or set AMTP_API_KEY.`))
		case m == memberName && id.name == "":
			return missing(m, "Set AMTP_AGENT_NAME env var or run setup first.")
		}
	}
	return nil
}

// elsewhere adds to a failure that the file has a key, but for another gateway.
func (id *identity) elsewhere(f *failure) *failure {
	if !id.saves && id.saved(memberKey) != "" {
		f.hint = fmt.Sprintf("the saved key is for %s; set AMTP_API_KEY, or run %q",
			firstOf(id.saved(memberGateway), "a gateway on this machine"),
			"amtp setup --name "+firstOf(id.name, "<agent-name>")+" --gateway "+id.gateway+" --config FILE")
	}
	return f
}

// save changes members of the file and keeps all others; an empty text removes
// one. The file is replaced as a whole and readable by its owner only. A saved
// admin key stays that of its gateway when the file gets another one.
func (id *identity) save(changes map[string]string) error {
	from := id.saved(memberGateway)
	if to := changes[memberGateway]; to != "" && id.saved(memberAdminKey) != "" && id.saved(memberAdminFor) == "" && !mayGo(from, to) {
		changes[memberAdminFor] = firstOf(from, defaultGateway)
	}
	for member, text := range changes {
		if text == "" {
			delete(id.members, member)
			continue
		}
		value, err := json.Marshal(text)
		if err != nil {
			return err
		}
		id.members[member] = value
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(id.members); err != nil {
		return err
	}
	if err := replaceFile(id.file, b.Bytes()); err != nil {
		return &failure{exit: exitInternal, code: amtp.CodeInternal,
			message: "Cannot save the config file: " + err.Error() + ".",
			hint:    "make room, or give a file that you may write: --config FILE"}
	}
	return nil
}

// replaceFile writes a file that only its owner can read, whole or not at all.
// A symbolic link stays one.
func replaceFile(name string, content []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".amtp-*.tmp") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
