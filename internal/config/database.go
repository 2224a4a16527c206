package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Database says where the data is, if it is not in the data directory.
type Database struct {
	URL        DSN  // "" is SQLite in the data directory
	Unverified bool // whether a server on another machine may be used without proof of its identity
}

// DSN is the address of a PostgreSQL, as a URL or as keywords. No output shows its
// password. Convert it to a string to use it.
type DSN string

func (d *Database) settings() []setting {
	return []setting{
		{path: "database.url", env: "AMTP_DATABASE_URL", flag: "database-url",
			value:   bind(&d.URL, "URL", parseDSN, DSN.String),
			meaning: "The PostgreSQL that holds everything, such as postgres://user:password@host/database. Any number of replicas may share it. Without it everything is in SQLite in the data directory."},
		{path: "database.unverified", env: "AMTP_DATABASE_UNVERIFIED", def: "false", value: boolean(&d.Unverified),
			meaning: "Whether a PostgreSQL on another machine may be used without sslmode=verify-full or verify-ca. An attacker on the network can then read and change everything."},
	}
}

// Queue configures the queue.
type Queue struct {
	Lease time.Duration
}

// Bounds of queue.lease. An attempt has three quarters of it.
const (
	shortestLease = time.Second
	longestLease  = time.Hour
)

func (q *Queue) settings() []setting {
	lease := durationUpTo(&q.Lease, longestLease)
	set := lease.set
	lease.set = func(s string) error {
		if d, err := parseDuration(s); err == nil && d < shortestLease {
			return fmt.Errorf("%s is shorter than %s", brief(s), formatDuration(shortestLease))
		}
		return set(s)
	}
	lease.bounds = formatDuration(shortestLease) + " to " + formatDuration(longestLease)
	return []setting{
		{path: "queue.lease", env: "AMTP_QUEUE_LEASE", def: "2m", value: lease,
			meaning: "How long a job belongs to the replica that claimed it. If that replica stops, another takes the job over after this time. An attempt ends after three quarters of this time. A large message gets another second of both for every 8 KiB."},
	}
}

// keywords matches the other form of a DSN, which has at least one of these keywords.
var keywords = regexp.MustCompile(`(^|\s)(host|dbname|user|service)\s*=`)

// parseDSN checks the form of a PostgreSQL's address; the store parses it. Its errors
// never show the address.
func parseDSN(s string) (DSN, error) {
	const form = "is not the address of a PostgreSQL: write postgres://user:password@host/database"
	if s == "" {
		return "", nil
	}
	if strings.Contains(s, redacted) || strings.ContainsFunc(s, isControl) {
		return "", errors.New(form)
	}
	scheme, _, isURL := strings.Cut(s, "://")
	if !isURL && keywords.MatchString(s) {
		return DSN(s), nil
	}
	if _, err := url.Parse(s); err != nil || scheme != "postgres" && scheme != "postgresql" {
		return "", errors.New(form)
	}
	return DSN(s), nil
}

// String names the server and the database, and says only whether there is a password.
func (d DSN) String() string {
	u, err := url.Parse(string(d))
	switch {
	case d == "":
		return ""
	case err != nil || u.Scheme == "":
		return redacted
	}
	who := ""
	if u.User != nil {
		who = u.User.Username() + "@"
		if _, has := u.User.Password(); has {
			who = u.User.Username() + ":" + redacted + "@"
		}
	}
	host := u.Host
	if host == "" {
		host = u.Query().Get("host") // the directory of a socket
	}
	return u.Scheme + "://" + who + host + u.Path
}

// GoString names the server and the database.
func (d DSN) GoString() string { return d.String() }

// MarshalText names the server and the database.
func (d DSN) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// The reference gateway's variables for its storage.
const (
	storageType        = "AMTP_STORAGE_TYPE"
	storageDriver      = "AMTP_STORAGE_DATABASE_DRIVER"
	storageConnection  = "AMTP_STORAGE_DATABASE_CONNECTION_STRING"
	storageConnections = "AMTP_STORAGE_DATABASE_MAX_CONNECTIONS"
	storageIdle        = "AMTP_STORAGE_DATABASE_MAX_IDLE_TIME"
)

// fromStorage reads these variables as another way to set database.url, which takes
// precedence.
func (l *loader) fromStorage() {
	if !strings.EqualFold(l.env[storageType], "database") {
		return
	}
	text, ok := l.env[storageConnection]
	if !ok {
		if _, ok := l.env["AMTP_DATABASE_URL"]; !ok {
			l.problem(environment, storageType+" is database, and "+storageConnection+" is not set")
		}
		return
	}
	dsn, err := parseDSN(text)
	if err != nil {
		l.problem(environment, storageConnection+" "+err.Error())
		return
	}
	dsn = l.withPool(dsn)
	l.set(l.setting("database.url"), storageConnection, string(dsn))
}

// withPool adds the reference's settings of its connection pool, under the names that
// ours has.
func (l *loader) withPool(dsn DSN) DSN {
	if text, ok := l.env[storageConnections]; ok {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil || n < 0 || n > maxCount:
			l.problem(environment, fmt.Sprintf("%s: %s is not a number of connections", storageConnections,
				brief(text)))
		case n > 0: // 0 is as many as the program likes
			dsn = dsn.with("pool_max_conns", strconv.Itoa(n))
		}
	}
	if text, ok := l.env[storageIdle]; ok {
		d, err := parseDuration(text)
		if err != nil {
			l.problem(environment, storageIdle+": "+err.Error())
			return dsn
		}
		dsn = dsn.with("pool_max_conn_idle_time", d.String())
	}
	return dsn
}

// with adds a parameter.
func (d DSN) with(name, text string) DSN {
	u, err := url.Parse(string(d))
	if err != nil || u.Scheme == "" {
		return d + DSN(" "+name+"="+text)
	}
	q := u.Query()
	q.Set(name, text)
	u.RawQuery = q.Encode()
	return DSN(u.String())
}

// setting returns the setting at path, which must exist.
func (l *loader) setting(path string) setting {
	for _, s := range l.settings {
		if s.path == path {
			return s
		}
	}
	panic("config: there is no setting " + path)
}

func judgeStorage(l *loader, v variable, text string) {
	switch strings.ToLower(text) {
	case "database": // fromStorage has read the rest
	case "memory":
		if l.cfg.Database.URL == "" {
			l.warn(environment,
				v.name+
					" is memory: messages are kept in SQLite in the data directory all the same, and outlive a restart")
			return
		}
		l.warn(environment, v.name+" is memory, but is not used: database.url is set")
	default:
		l.problem(environment, fmt.Sprintf("%s: %s is neither memory nor database", v.name, brief(text)))
	}
}

// judgeDriver refuses a database other than PostgreSQL.
func judgeDriver(l *loader, v variable, text string) {
	switch strings.ToLower(text) {
	case "postgres", "postgresql", "pgx", "pq":
		judgeStored(l, v, text)
	default:
		l.problem(environment, v.name+" is not postgres, which is the only database here besides SQLite")
	}
}

// judgeStored warns that a variable that describes a database is not used.
func judgeStored(l *loader, v variable, _ string) {
	if l.cfg.origin("database.url") != storageConnection {
		l.warn(environment, v.name+" is not used: it applies only if "+storageType+
			" is database; AMTP_DATABASE_URL and --database-url take precedence")
	}
}
