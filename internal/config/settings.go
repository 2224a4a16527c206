package config

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/amtp-go/amtp"
)

// setting is the one declaration of a setting.
type setting struct {
	path    string // key in the file: section.name, or name
	env     string // environment variable
	alias   string // another variable of the same meaning, of the reference gateway; "" if there is none
	flag    string // name of the flag without dashes; "" if it has none
	def     string // default, written as a source would write it
	meaning string // one sentence for the operator
	value   value  // the field of the Config
}

// settings returns the declarations in the order in which they are shown, bound
// to the fields of c. A default is not yet in its field.
func (c *Config) settings() []setting {
	return slices.Concat(
		[]setting{{path: "data_dir", env: "AMTP_DATA_DIR", flag: "data-dir", value: path(&c.DataDir),
			meaning: "Directory that holds everything the gateway keeps, by default the user's data directory; with database.url what belongs to this one process."},
			{path: "data_dir_open", env: "AMTP_DATA_DIR_OPEN", def: "false", value: boolean(&c.DataDirOpen),
				meaning: "Whether the gateway starts although others may write in the data directory, or although it belongs to another user: where the system lets nobody else in, as in a container. A file in that directory cannot say so."},
			{path: "seal_key_file", env: "AMTP_SEAL_KEY_FILE", value: path(&c.SealKey),
				meaning: "File with the 32 bytes, as they are or in base64, that open the secrets in the database, in place of seal.key in the data directory; the same for all gateways on one database."}},
		c.Database.settings(), c.Server.settings(), c.TLS.settings(), c.ACME.settings(), c.Message.settings(),
		c.Auth.settings(), c.Federation.settings(), c.Signature.settings(), c.Echo.settings(), c.Logging.settings(),
		c.Limits.settings(), c.Retention.settings(), c.Queue.settings(),
		c.DNS.settings(), c.Outbound.settings(),
		[]setting{{path: "peers", env: "AMTP_PEERS", value: table(&c.Peers),
			meaning: "What other domains would publish in DNS, for those that do not; these entries win over DNS, and their gateways may be called wherever they are."}},
	)
}

func (s *Server) settings() []setting {
	return []setting{
		{path: "server.address", env: "AMTP_SERVER_ADDRESS", flag: "address", def: "127.0.0.1:8080",
			value:   hostPort(&s.Address),
			meaning: "Where the gateway listens; an empty host means every address of the machine."},
		{path: "server.domain", env: "AMTP_DOMAIN", flag: "domain", def: "localhost", value: domain(&s.Domain),
			meaning: "The domain behind the @ of this gateway's agents."},
		{path: "server.former_domains", env: "AMTP_FORMER_DOMAINS",
			value:   list(&s.FormerDomains, "domains", parseDomain, func(d amtp.Domain) string { return string(d) }),
			meaning: "Domains that this gateway had and gave up: at its start agents with addresses there get addresses in server.domain. A start in another domain than before is refused unless the former one is listed here, or serve is told --rename."},
		{path: "server.public_url", env: "AMTP_PUBLIC_URL", flag: "public-url",
			value:   bind(&s.PublicURL, "URL", parsePublicURL, same),
			meaning: "Where other domains reach the gateway, as its record in DNS says; by default https://amtp.{domain}, with the port of a listener that speaks TLS."},
		{path: "server.local_address", env: "AMTP_LOCAL_ADDRESS", flag: "local-address",
			value:   bind(&s.LocalAddress, "host:port", parseLocal, same),
			meaning: "A second listener without TLS, on a loopback address: for the agents and commands of this machine, when server.address is for others."},
		{path: "server.read_timeout", env: "AMTP_READ_TIMEOUT", def: "30s", value: duration(&s.ReadTimeout),
			meaning: "How long a request may take that does not arrive; a body that arrives has another second for every 8 KiB of it."},
		{path: "server.write_timeout", env: "AMTP_WRITE_TIMEOUT", def: "1m", value: duration(&s.WriteTimeout),
			meaning: "The longest time from the end of a request to the end of its answer; a large answer that is taken has another second for every 8 KiB of it."},
		{path: "server.idle_timeout", env: "AMTP_IDLE_TIMEOUT", def: "2m", value: duration(&s.IdleTimeout),
			meaning: "How long a connection without a request stays open."},
		{path: "server.trusted_proxies", env: "AMTP_SERVER_TRUSTED_PROXIES",
			value:   list(&s.TrustedProxies, "networks", parseNetwork, netip.Prefix.String),
			meaning: "The addresses or networks (10.0.0.0/8) of the proxies in front of the gateway: a caller is at the right-most address of X-Forwarded-For that is none of them; without any the header counts for nothing."},
	}
}

func (t *TLS) settings() []setting {
	return []setting{
		{path: "tls.enabled", env: "AMTP_TLS_ENABLED", flag: "tls-enabled", def: "auto", value: toggle(&t.Enabled),
			meaning: "Whether the listener speaks TLS; auto means that it does when a certificate is given or acme.enabled is true, and that any listener but a loopback one needs it."},
		{path: "tls.cert_file", env: "AMTP_TLS_CERT_FILE", flag: "tls-cert", value: path(&t.CertFile),
			meaning: "Certificate chain of the listener in PEM form; when it changes it is read again."},
		{path: "tls.key_file", env: "AMTP_TLS_KEY_FILE", flag: "tls-key", value: path(&t.KeyFile),
			meaning: "Private key of the certificate in PEM form."},
		{path: "tls.min_version", env: "AMTP_TLS_MIN_VERSION", def: "1.3",
			value: choice(&t.MinVersion, option[uint16]{"1.3", tls.VersionTLS13},
				option[uint16]{"1.2", tls.VersionTLS12}),
			meaning: "The oldest version of TLS that a caller, or another gateway that is called, may speak."},
	}
}

// maxMessage is the highest message.max_size. A client reads answers of at most
// 64 MiB; a page of an inbox with one message must fit, with what the gateway
// adds to it.
const (
	maxMessage    = 32 * mib
	whyMaxMessage = "a message must fit into one answer of an inbox, and clients read at most 64MiB"
)

func (m *Message) settings() []setting {
	return []setting{
		{path: "message.max_size", env: "AMTP_MESSAGE_MAX_SIZE", flag: "message-max-size", def: "10MiB",
			value:   sizeBecause(&m.MaxSize, 1*kib, maxMessage, whyMaxMessage),
			meaning: "The largest request body that is read."},
	}
}

func (f *Federation) settings() []setting {
	return []setting{
		{path: "federation.unsigned", env: "AMTP_FEDERATION_UNSIGNED",
			alias: "AMTP_SIGNATURE_VERIFY_POLICY", def: "flag",
			value: choice(&f.Unsigned, option[string]{"accept", "accept"}, option[string]{"flag", "flag"},
				option[string]{"reject", "reject"}),
			meaning: "What becomes of a message from another domain that is unsigned, whose signature is wrong or whose key cannot be obtained, when the domain is not known to sign: accept takes it and records that, flag also warns in the log and counts it, reject refuses it."},
		{path: "federation.receipts", env: "AMTP_FEDERATION_RECEIPTS", def: "known", value: receiptRule(&f.Receipts),
			meaning: "Which other domains are told that an agent here read or acknowledged their message, when they ask for it: known means those that the agent has written to, all means every one, off none; a domain that did not sign the message is never told."},
		{path: "federation.receipts_domains", env: "AMTP_FEDERATION_RECEIPTS_DOMAINS",
			value:   list(&f.ReceiptsDomains, "domain=rule", parseDomainRule, formatDomainRule),
			meaning: "What holds for some domains in place of federation.receipts, such as shop.example=all."},
	}
}

func (s *Signature) settings() []setting {
	return []setting{
		{path: "signature.private_key_file", env: "AMTP_SIGNATURE_PRIVATE_KEY_FILE", value: path(&s.PrivateKeyFile),
			meaning: "Private key in PEM form with which the gateway signs, in place of one that it makes: EC on P-256 or RSA, not encrypted; read at the start, and the same for all gateways on one database."},
		{path: "signature.key_id", env: "AMTP_SIGNATURE_KEY_ID", def: "k1",
			value:   bind(&s.KeyID, "selector", parseSelector, same),
			meaning: "The selector of that key: its public part is in DNS at {selector}._amtpkey.{domain}."},
	}
}

func (e *Echo) settings() []setting {
	return []setting{
		{path: "echo.enabled", env: "AMTP_ECHO_ENABLED", def: "false", value: boolean(&e.Enabled),
			meaning: "Whether there is an agent echo@ that answers verified senders, and those of this gateway, that their message arrived, at most six times a minute to one domain."},
	}
}

func (a *Auth) settings() []setting {
	return []setting{
		{path: "auth.required", env: "AMTP_AUTH_REQUIRED", flag: "auth-required", def: "false",
			value:   boolean(&a.Required),
			meaning: "Whether callers on this machine need a key even in the development profile (domain localhost on a loopback listener)."},
		{path: "auth.admin_key", env: "AMTP_ADMIN_KEY", value: secret(&a.AdminKey),
			meaning: "Key of the administrator, in place of the one that the first start writes to the data directory."},
		{path: "auth.admin_key_file", env: "AMTP_ADMIN_KEY_FILE", flag: "admin-key-file", value: path(&a.AdminKeyFile),
			meaning: "File with keys of administrators, one on a line, where # begins a line of comment; they count in addition to auth.admin_key, and in place of the one in the data directory."},
	}
}

func (l *Logging) settings() []setting {
	return []setting{
		{path: "logging.level", env: "AMTP_LOG_LEVEL", flag: "log-level", def: "info",
			value: choice(&l.Level, option[slog.Level]{"debug", slog.LevelDebug},
				option[slog.Level]{"info", slog.LevelInfo},
				option[slog.Level]{"warn", slog.LevelWarn}, option[slog.Level]{"error", slog.LevelError}),
			meaning: "The least important entries that are logged."},
		{path: "logging.format", env: "AMTP_LOG_FORMAT", flag: "log-format", def: "text",
			value:   choice(&l.Format, option[string]{"text", "text"}, option[string]{"json", "json"}),
			meaning: "How an entry of the log is written."},
	}
}

func (l *Limits) settings() []setting {
	return []setting{
		{path: "limits.connections_per_address", env: "AMTP_LIMITS_CONNECTIONS_PER_ADDRESS", def: "64",
			value:   count(&l.ConnectionsPerAddress),
			meaning: "How many connections one address (for IPv6, one /64 network) may hold open; this machine's own are exempt."},
		{path: "limits.connections", env: "AMTP_LIMITS_CONNECTIONS", def: "8192", value: count(&l.Connections),
			meaning: "How many connections may be open together."},
		{path: "limits.in_flight_bytes", env: "AMTP_LIMITS_IN_FLIGHT_BYTES", def: "256MiB",
			value:   size(&l.InFlightBytes, 1*mib, 1024*gib),
			meaning: "How many bytes of request bodies may be in work together; beyond it callers are asked to come back. Other domains have an eighth of it, one address a quarter of that, and room for one largest message in any case."},
		{path: "limits.messages_per_minute", env: "AMTP_LIMITS_MESSAGES_PER_MINUTE", def: "1200",
			value:   count(&l.MessagesPerMinute),
			meaning: "How many messages a minute a stranger may bring, that is one address or one domain that proves nothing; ten times as many at once. All other rates of messages follow from it: amtp limits shows them."},
		{path: "limits.bytes_per_minute", env: "AMTP_LIMITS_BYTES_PER_MINUTE", def: "1MiB",
			value:   size(&l.BytesPerMinute, 1*kib, 1024*gib),
			meaning: "How many bytes of messages a minute a stranger may bring; 64 times as many at once, but of other domains no more than 4GiB, and two of the largest messages in any case. All other rates of bytes follow from it."},
		{path: "limits.free_space", env: "AMTP_LIMITS_FREE_SPACE", def: "0", value: size(&l.FreeSpace, 0, 1024*gib),
			meaning: "How much of the disk must be free for messages of strangers to be taken, and half of that for those of domains to which no agent wrote and that sign since less than 30 days; 0 means 1GiB, or a tenth of the disk where that is less. Not with database.url, where the disk is another machine's."},
	}
}
