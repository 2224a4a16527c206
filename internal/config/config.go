// Package config reads the operator's settings into one value, once, before the gateway
// starts.
//
// Every setting is declared in one row of settings.go: its place in the file,
// its environment variable, its flag, its default and its meaning. Flags take precedence
// over the environment, the environment over the file, the file over the defaults. A bad
// value or an unknown key of the file is an error that names its place, even if a source
// of higher precedence has the setting too. An unknown AMTP_ variable is a warning. A
// Config that [Load] returned without an error is valid, and never changes afterwards.
package config

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/datadir"
)

// FileName is the file that is read from the data directory when no flag names
// another.
const FileName = datadir.ConfigFile

// Config is the whole configuration of one gateway. settings.go has the meaning of each
// field.
type Config struct {
	DataDir string
	// DataDirOpen lets a gateway start although other users may write to its data
	// directory.
	DataDirOpen bool
	SealKey     string // the file with the seal key, "" for the one in the data directory
	Database    Database
	Server      Server
	TLS         TLS
	ACME        ACME
	Message     Message
	Auth        Auth
	Federation  Federation
	Signature   Signature
	Echo        Echo
	Logging     Logging
	Limits      Limits
	Retention   Retention
	Queue       Queue
	DNS         DNS
	Outbound    Outbound
	Peers       Table

	rename  bool              // see Rename
	file    string            // the file that was read, or ""
	origins map[string]string // by path of the setting: the place it came from
}

// Server is the listener and the name of the gateway.
type Server struct {
	Address      string // host:port, as net.Listen takes it
	LocalAddress string // a second one, for this machine only; "" for none
	PublicURL    string // ask [Config.PublicURL]
	Domain       amtp.Domain
	// FormerDomains are domains that the gateway served before: at its start, agents with
	// addresses in them get addresses in Domain.
	FormerDomains []amtp.Domain
	ReadTimeout   time.Duration
	WriteTimeout  time.Duration
	IdleTimeout   time.Duration
	// TrustedProxies are the networks of the proxies in front of the gateway.
	TrustedProxies []netip.Prefix
}

// TLS says how the listener is protected. Ask [Config.UseTLS] whether it is.
type TLS struct {
	Enabled    Switch
	CertFile   string
	KeyFile    string
	MinVersion uint16 // tls.VersionTLS12 or tls.VersionTLS13
}

// Message bounds one message.
type Message struct {
	MaxSize int64 // bytes of one request body
}

// Auth says who may call. Ask [Config.AdminKeys] for the keys.
type Auth struct {
	Required     bool
	AdminKey     Secret
	AdminKeyFile string
}

// Federation says how other domains are treated.
type Federation struct {
	Unsigned        string       // accept, flag or reject
	Receipts        string       // known, all or off
	ReceiptsDomains []DomainRule // in place of Receipts, for some
}

// Signature says with which key the gateway signs, when it is not one that it made.
type Signature struct {
	PrivateKeyFile string // PEM, see amtp.ParseSigningKey; "" for a key of the gateway's own
	KeyID          string // the selector of that key
}

// Echo is the agent that confirms that a message arrived.
type Echo struct {
	Enabled bool
}

// Rename returns the configuration of a start that gives up whatever other domain the
// gateway had. It is a matter of that one start: no source sets it.
func (c Config) Rename() Config {
	c.rename = true
	return c
}

// GivesUp reports whether the gateway gives up the domain, if that is another one than
// the one it serves: it was told so for this start, or its settings say so.
func (c *Config) GivesUp(d amtp.Domain) bool {
	return c.rename || slices.Contains(c.Server.FormerDomains, d)
}

// Federated reports whether the gateway has a domain of its own, by which others
// can know it.
func (c *Config) Federated() bool { return c.Server.Domain != "localhost" }

// Logging says what the log holds and how it is written.
type Logging struct {
	Level  slog.Level
	Format string // "text" or "json"
}

// Limits protect the process as a whole.
type Limits struct {
	ConnectionsPerAddress int
	Connections           int
	InFlightBytes         int64
	MessagesPerMinute     int   // of one stranger
	BytesPerMinute        int64 // of one stranger
	FreeSpace             int64 // 0 leaves it to the program
}

// Switch is a choice that may be left to the program.
type Switch string

// The three positions of a [Switch].
const (
	Auto Switch = "auto"
	On   Switch = "true"
	Off  Switch = "false"
)

// Secret is text that no output shows. Convert it to a string to use it.
type Secret string

// redacted replaces a secret in every output.
const redacted = "(set)"

// String tells only whether there is a secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString tells only whether there is a secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText tells only whether there is a secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Sources are the places that Load reads, besides the file.
type Sources struct {
	Flags   *FlagValues // nil: no flags
	Environ []string    // NAME=value, as os.Environ returns it; an empty value counts as not set
	// Content is read in place of what the file holds, nil for the file itself:
	// to try a change before it is written.
	Content []byte
}

// Warning tells the operator that a setting has no effect, or another effect than the
// operator may expect.
type Warning struct {
	Place string `json:"place"` // "environment", a flag, a variable or file:line
	Text  string `json:"text"`
}

func (w Warning) String() string { return w.Place + ": " + w.Text }

// Problem is one reason not to start.
type Problem struct {
	Place string `json:"place"` // "environment", a flag, a variable or file:line
	Text  string `json:"text"`
}

func (p Problem) String() string { return p.Place + ": " + p.Text }

// Error is the error of [Load], with all problems that were found, at least one.
type Error struct {
	Problems []Problem
}

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Load reads all sources. The error, if there is one, is an [*Error]; the
// warnings are valid beside it. Load reads the configuration file, the admin key
// file and the certificate, and writes nothing.
func Load(src Sources) (Config, []Warning, error) {
	l := newLoader(src)
	l.fromDefaults()
	l.fromFile()
	l.fromEnviron()
	l.fromFlags()
	l.otherVariables()
	if len(l.problems) == 0 {
		l.check()
	}
	if len(l.problems) > 0 {
		return Config{}, l.warnings, &Error{Problems: l.problems}
	}
	return *l.cfg, l.warnings, nil
}

// File returns the configuration file that was read, or "".
func (c Config) File() string { return c.file }

// Loopback reports whether only this machine can reach the listener.
func (c Config) Loopback() bool { return isLoopback(c.Server.Address) }

// UseTLS reports whether the listener speaks TLS: as tls.enabled says, and if
// that is auto, when there is a certificate or acme gets one. [Load] refuses a listener that is
// open to other machines without either.
func (c Config) UseTLS() bool {
	if c.TLS.Enabled == Auto {
		return c.TLS.CertFile != "" || c.ACME.Enabled
	}
	return c.TLS.Enabled == On
}

// Development reports whether this is the development profile, in which callers
// on this machine may register and send without a key.
func (c Config) Development() bool {
	return c.Server.Domain == "localhost" && c.Loopback() && !c.Auth.Required
}

// AdminKeys returns the keys that auth.admin_key and auth.admin_key_file give,
// none if neither is set. It reads the file, which may have changed since [Load]
// found it good.
func (c Config) AdminKeys() ([]string, error) {
	var keys []string
	if c.Auth.AdminKey != "" {
		keys = append(keys, string(c.Auth.AdminKey))
	}
	if c.Auth.AdminKeyFile == "" {
		return keys, nil
	}
	fromFile, err := readKeyFile(c.Auth.AdminKeyFile)
	return append(keys, fromFile...), err
}

// Origin returns the place that the value of the setting at a path came from.
func (c Config) Origin(path string) string { return c.origin(path) }

// origin returns where the value of the setting at path came from.
func (c Config) origin(path string) string { return cmp.Or(c.origins[path], fromDefault) }
