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

// settings returns the declarations in the order in which they are shown, bound to the
// fields of c. The fields do not have their defaults yet.
func (c *Config) settings() []setting {
	return slices.Concat(
		[]setting{{path: "data_dir", env: "AMTP_DATA_DIR", flag: "data-dir", value: path(&c.DataDir),
			meaning: "Directory for everything that the gateway stores, by default the user's data directory. With database.url it holds only the files of this one process."},
			{path: "data_dir_open", env: "AMTP_DATA_DIR_OPEN", def: "false", value: boolean(&c.DataDirOpen),
				meaning: "Whether the gateway starts although other users may write in the data directory, or although it belongs to another user. Use it only where the system keeps other users out, as in a container. A configuration file in that directory cannot set it."},
			{path: "seal_key_file", env: "AMTP_SEAL_KEY_FILE", value: path(&c.SealKey),
				meaning: "File with the 32-byte key, raw or in base64, that decrypts the secrets in the database. It replaces seal.key in the data directory. All replicas on one database need the same key."}},
		c.Database.settings(), c.Server.settings(), c.TLS.settings(), c.ACME.settings(), c.Message.settings(),
		c.Auth.settings(), c.Federation.settings(), c.Signature.settings(), c.Echo.settings(), c.Logging.settings(),
		c.Limits.settings(), c.Retention.settings(), c.Queue.settings(),
		c.DNS.settings(), c.Outbound.settings(),
		[]setting{{path: "peers", env: "AMTP_PEERS", value: table(&c.Peers),
			meaning: "Records of domains that do not publish them in DNS. These entries take precedence over DNS, and their gateways may be called at any address."}},
	)
}

func (s *Server) settings() []setting {
	return []setting{
		{path: "server.address", env: "AMTP_SERVER_ADDRESS", flag: "address", def: "127.0.0.1:8080",
			value:   hostPort(&s.Address),
			meaning: "The address on which the gateway listens. An empty host means every address of the machine."},
		{path: "server.domain", env: "AMTP_DOMAIN", flag: "domain", def: "localhost", value: domain(&s.Domain),
			meaning: "The domain behind the @ of this gateway's agents."},
		{path: "server.former_domains", env: "AMTP_FORMER_DOMAINS",
			value:   list(&s.FormerDomains, "domains", parseDomain, func(d amtp.Domain) string { return string(d) }),
			meaning: "Domains that this gateway served before. At the start, agents with addresses in them get addresses in server.domain. A start in a new domain is refused unless the former domain is listed here or serve gets --rename."},
		{path: "server.public_url", env: "AMTP_PUBLIC_URL", flag: "public-url",
			value:   bind(&s.PublicURL, "URL", parsePublicURL, same),
			meaning: "The URL at which other domains reach the gateway, as in its DNS record. By default it is https://amtp.{domain}, with the port of a listener that speaks TLS."},
		{path: "server.local_address", env: "AMTP_LOCAL_ADDRESS", flag: "local-address",
			value:   bind(&s.LocalAddress, "host:port", parseLocal, same),
			meaning: "A second listener without TLS, on a loopback address. It is for the agents and commands on this machine when server.address is for other machines."},
		{path: "server.read_timeout", env: "AMTP_READ_TIMEOUT", def: "30s", value: duration(&s.ReadTimeout),
			meaning: "How long the gateway waits for a request to arrive. A body that keeps arriving gets another second for every 8 KiB."},
		{path: "server.write_timeout", env: "AMTP_WRITE_TIMEOUT", def: "1m", value: duration(&s.WriteTimeout),
			meaning: "The longest time from the end of a request to the end of its answer. A large answer that the client keeps reading gets another second for every 8 KiB."},
		{path: "server.idle_timeout", env: "AMTP_IDLE_TIMEOUT", def: "2m", value: duration(&s.IdleTimeout),
			meaning: "How long an idle connection stays open."},
		{path: "server.trusted_proxies", env: "AMTP_SERVER_TRUSTED_PROXIES",
			value:   list(&s.TrustedProxies, "networks", parseNetwork, netip.Prefix.String),
			meaning: "The addresses or networks (10.0.0.0/8) of the proxies in front of the gateway. The caller's address is then the right-most address in X-Forwarded-For that is none of these. Without a proxy here the header is ignored."},
	}
}

func (t *TLS) settings() []setting {
	return []setting{
		{path: "tls.enabled", env: "AMTP_TLS_ENABLED", flag: "tls-enabled", def: "auto", value: toggle(&t.Enabled),
			meaning: "Whether the listener speaks TLS. auto means that it does when a certificate is given or acme.enabled is true, and that any listener but a loopback one needs TLS."},
		{path: "tls.cert_file", env: "AMTP_TLS_CERT_FILE", flag: "tls-cert", value: path(&t.CertFile),
			meaning: "Certificate chain of the listener in PEM form. The gateway reads the file again when it changes."},
		{path: "tls.key_file", env: "AMTP_TLS_KEY_FILE", flag: "tls-key", value: path(&t.KeyFile),
			meaning: "Private key of the certificate in PEM form."},
		{path: "tls.min_version", env: "AMTP_TLS_MIN_VERSION", def: "1.3",
			value: choice(&t.MinVersion, option[uint16]{"1.3", tls.VersionTLS13},
				option[uint16]{"1.2", tls.VersionTLS12}),
			meaning: "The oldest TLS version that the gateway accepts, from callers and from the gateways that it calls."},
	}
}

// maxMessage is the highest message.max_size. A client reads answers of at most 64 MiB.
// A page of an inbox with one message, and with the fields that the gateway adds, must
// fit.
const (
	maxMessage    = 32 * mib
	whyMaxMessage = "a message must fit into one answer of an inbox, and clients read at most 64MiB"
)

func (m *Message) settings() []setting {
	return []setting{
		{path: "message.max_size", env: "AMTP_MESSAGE_MAX_SIZE", flag: "message-max-size", def: "10MiB",
			value:   sizeBecause(&m.MaxSize, 1*kib, maxMessage, whyMaxMessage),
			meaning: "The largest request body that the gateway accepts."},
	}
}

func (f *Federation) settings() []setting {
	return []setting{
		{path: "federation.unsigned", env: "AMTP_FEDERATION_UNSIGNED",
			alias: "AMTP_SIGNATURE_VERIFY_POLICY", def: "flag",
			value: choice(&f.Unsigned, option[string]{"accept", "accept"}, option[string]{"flag", "flag"},
				option[string]{"reject", "reject"}),
			meaning: "What happens to a message from another domain that is unsigned, has a wrong signature, or has a key that cannot be obtained, when the domain is not known to sign. accept accepts the message and records the finding, flag also logs a warning and counts it, and reject refuses the message."},
		{path: "federation.receipts", env: "AMTP_FEDERATION_RECEIPTS", def: "known", value: receiptRule(&f.Receipts),
			meaning: "Which other domains get a receipt when an agent here reads or acknowledges their message, if they ask for receipts. known means domains that the agent has written to, all means every domain, and off means none. A domain that did not sign the message never gets one."},
		{path: "federation.receipts_domains", env: "AMTP_FEDERATION_RECEIPTS_DOMAINS",
			value:   list(&f.ReceiptsDomains, "domain=rule", parseDomainRule, formatDomainRule),
			meaning: "Exceptions from federation.receipts for single domains, such as shop.example=all."},
	}
}

func (s *Signature) settings() []setting {
	return []setting{
		{path: "signature.private_key_file", env: "AMTP_SIGNATURE_PRIVATE_KEY_FILE", value: path(&s.PrivateKeyFile),
			meaning: "Private key in PEM form with which the gateway signs, instead of one that it makes: EC on P-256 or RSA, not encrypted. It is read at the start. All replicas on one database need the same key."},
		{path: "signature.key_id", env: "AMTP_SIGNATURE_KEY_ID", def: "k1",
			value:   bind(&s.KeyID, "selector", parseSelector, same),
			meaning: "The selector of that key. Its public key is in DNS at {selector}._amtpkey.{domain}."},
	}
}

func (e *Echo) settings() []setting {
	return []setting{
		{path: "echo.enabled", env: "AMTP_ECHO_ENABLED", def: "false", value: boolean(&e.Enabled),
			meaning: "Whether an agent echo@ confirms to verified senders, and to senders at this gateway, that their message arrived. It answers one domain at most six times a minute."},
	}
}

func (a *Auth) settings() []setting {
	return []setting{
		{path: "auth.required", env: "AMTP_AUTH_REQUIRED", flag: "auth-required", def: "false",
			value:   boolean(&a.Required),
			meaning: "Whether callers on this machine need a key even in the development profile (domain localhost on a loopback listener)."},
		{path: "auth.admin_key", env: "AMTP_ADMIN_KEY", value: secret(&a.AdminKey),
			meaning: "Key of the administrator, instead of the one that the first start writes to the data directory."},
		{path: "auth.admin_key_file", env: "AMTP_ADMIN_KEY_FILE", flag: "admin-key-file", value: path(&a.AdminKeyFile),
			meaning: "File with administrators' keys, one per line; a line that begins with # is a comment. They are valid in addition to auth.admin_key, and instead of the key in the data directory."},
	}
}

func (l *Logging) settings() []setting {
	return []setting{
		{path: "logging.level", env: "AMTP_LOG_LEVEL", flag: "log-level", def: "info",
			value: choice(&l.Level, option[slog.Level]{"debug", slog.LevelDebug},
				option[slog.Level]{"info", slog.LevelInfo},
				option[slog.Level]{"warn", slog.LevelWarn}, option[slog.Level]{"error", slog.LevelError}),
			meaning: "The lowest level that is logged."},
		{path: "logging.format", env: "AMTP_LOG_FORMAT", flag: "log-format", def: "text",
			value:   choice(&l.Format, option[string]{"text", "text"}, option[string]{"json", "json"}),
			meaning: "The format of a log entry."},
	}
}

func (l *Limits) settings() []setting {
	return []setting{
		{path: "limits.connections_per_address", env: "AMTP_LIMITS_CONNECTIONS_PER_ADDRESS", def: "64",
			value:   count(&l.ConnectionsPerAddress),
			meaning: "How many connections one address (for IPv6, one /64 network) may hold open. Connections from this machine are exempt."},
		{path: "limits.connections", env: "AMTP_LIMITS_CONNECTIONS", def: "8192", value: count(&l.Connections),
			meaning: "How many connections may be open at once."},
		{path: "limits.in_flight_bytes", env: "AMTP_LIMITS_IN_FLIGHT_BYTES", def: "256MiB",
			value:   size(&l.InFlightBytes, 1*mib, 1024*gib),
			meaning: "How many bytes of request bodies the gateway holds at once; beyond that, callers are asked to try again later. Other domains may use an eighth of it and one address a quarter of that, but always enough for one message of the largest size."},
		{path: "limits.messages_per_minute", env: "AMTP_LIMITS_MESSAGES_PER_MINUTE", def: "1200",
			value:   count(&l.MessagesPerMinute),
			meaning: "How many messages a minute a stranger may send, which is one address or one domain that proves nothing. Ten times as many may come at once. All other message rates follow from it; amtp limits shows them."},
		{path: "limits.bytes_per_minute", env: "AMTP_LIMITS_BYTES_PER_MINUTE", def: "1MiB",
			value:   size(&l.BytesPerMinute, 1*kib, 1024*gib),
			meaning: "How many bytes of messages a minute a stranger may send. 64 times as many may come at once, but from other domains no more than 4GiB, and always enough for two messages of the largest size. All other byte rates follow from it."},
		{path: "limits.free_space", env: "AMTP_LIMITS_FREE_SPACE", def: "0", value: size(&l.FreeSpace, 0, 1024*gib),
			meaning: "How much disk space must be free for messages from strangers to be accepted. Half of it must be free for messages from domains that no agent has written to and that have signed for less than 30 days. 0 means 1GiB, or a tenth of the disk if that is less. It has no effect with database.url, because that disk is on another machine."},
	}
}
