package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp/internal/gateway"
)

// variable is a known AMTP_ variable that is no setting. It is one of the reference
// gateway that means nothing here, or something else, or one that the client commands
// read.
type variable struct {
	name  string
	note  string // completes "this release does not use it yet: "
	quiet string // a value that agrees with what this gateway does anyway
	// judge replaces the warning for a variable that needs another text.
	judge func(l *loader, v variable, text string)
}

// Notes that several variables share.
const (
	noMetrics = "there are no metrics to fetch"
	noSchemas = "payloads are not checked against schemas"
	forClient = "read by the commands that use a gateway"
)

// variables returns all such variables in the order of the documentation.
func variables() []variable {
	return []variable{
		{name: "AMTP_GATEWAY_URL", note: forClient, judge: nothing},
		{name: "AMTP_AGENT_NAME", note: forClient, judge: nothing},
		{name: "AMTP_API_KEY", note: forClient, judge: nothing},
		{name: "AMTP_GATEWAY_PIN", note: forClient, judge: nothing},
		{name: "AMTP_GATEWAY_USER", note: forClient, judge: nothing},
		{name: "AMTP_PROFILE", note: forClient, judge: nothing},
		{name: storageType,
			note:  "memory means SQLite in the data directory; database means the PostgreSQL in AMTP_STORAGE_DATABASE_CONNECTION_STRING",
			judge: judgeStorage},
		{name: storageDriver, note: "postgres, or empty", judge: judgeDriver},
		{name: storageConnection,
			note:  "with AMTP_STORAGE_TYPE=database another way to set database.url; AMTP_DATABASE_URL takes precedence",
			judge: judgeStored},
		{name: storageConnections,
			note:  "how many connections one gateway may hold open; the same as pool_max_conns in database.url",
			judge: judgeStored},
		{name: storageIdle,
			note:  "how long an idle connection stays open; the same as pool_max_conn_idle_time in database.url",
			judge: judgeStored},
		{name: "AMTP_IDEMPOTENCY_TTL",
			note:  "a repeated message is recognised for at least nine days; a shorter time is raised to that",
			judge: judgeIdempotency},
		{name: "AMTP_MESSAGE_VALIDATION_ENABLED", note: "messages are always validated; this cannot be turned off",
			judge: judgeValidation},
		{name: "AMTP_AUTH_API_KEY_SALT", note: "keys are 256 random bits, which are hashed without a salt",
			judge: notNeeded},
		{name: "AMTP_AUTH_API_KEY_HEADER",
			note: "an agent's key is in the header Authorization after Bearer, or in X-API-Key", quiet: "X-API-Key",
			judge: notNeeded},
		{name: "AMTP_ADMIN_API_KEY_HEADER",
			note:  "an administrator's key is in the header X-Admin-Key, or in Authorization after Bearer",
			quiet: "X-Admin-Key", judge: notNeeded},
		{name: "AMTP_METRICS_ENABLED", note: noMetrics, quiet: "false"},
		{name: "AMTP_SCHEMA_REGISTRY_TYPE", note: noSchemas},
		{name: "AMTP_SCHEMA_REGISTRY_PATH", note: noSchemas},
		{name: "AMTP_SCHEMA_REGISTRY_URL", note: noSchemas},
		{name: "AMTP_SCHEMA_REGISTRY_AUTH_TOKEN", note: noSchemas},
		{name: "AMTP_SCHEMA_REGISTRY_TIMEOUT", note: noSchemas},
		{name: "AMTP_SCHEMA_USE_LOCAL_REGISTRY", note: noSchemas, quiet: "false"},
	}
}

// otherVariables warns about the AMTP_ variables that are no setting. It never shows a
// value unless that is a plain word, because some variables hold passwords.
func (l *loader) otherVariables() {
	unknown := maps.Clone(l.env)
	for _, s := range l.settings {
		delete(unknown, s.env)
		delete(unknown, s.alias)
	}
	for _, v := range variables() {
		text, ok := unknown[v.name]
		delete(unknown, v.name)
		if !ok || v.quiet != "" && strings.EqualFold(text, v.quiet) {
			continue
		}
		if v.judge == nil {
			v.judge = notYet
		}
		v.judge(l, v, text)
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		if strings.HasPrefix(name, "AMTP_") {
			l.warn(environment, name+" is not a variable of this program; nothing reads it")
		}
	}
}

func nothing(*loader, variable, string) {}

func notYet(l *loader, v variable, _ string) {
	l.warn(environment, v.name+" is known but this release does not use it yet: "+v.note)
}

func notNeeded(l *loader, v variable, _ string) {
	l.warn(environment, v.name+" is not used: "+v.note)
}

func judgeIdempotency(l *loader, v variable, text string) {
	d, err := parseDuration(text)
	switch {
	case err != nil:
		l.problem(environment, v.name+": "+err.Error())
	case d < gateway.MinKeys:
		l.warn(environment, v.name+" is raised from "+formatDuration(d)+
			" to nine days: a sender retries for a week, and its repeated messages must be recognised")
	case d > gateway.MinKeys:
		l.warn(environment, v.name+
			" is known but this release does not use it yet: a repeated message is recognised for nine days or more")
	}
}

func judgeValidation(l *loader, v variable, text string) {
	on, err := strconv.ParseBool(text)
	switch {
	case err != nil:
		l.problem(environment, fmt.Sprintf("%s: %s is neither true nor false", v.name, brief(text)))
	case !on:
		l.warn(environment, v.name+" is false, but validation cannot be turned off: messages are always validated")
	}
}
