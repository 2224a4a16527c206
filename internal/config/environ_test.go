package config

import (
	"strings"
	"testing"
)

func env(pairs ...string) command { return command{env: pairs} }

func TestVariablesThatAreNoSettings(t *testing.T) {
	const notYet = " is known but this release does not use it yet: "
	for _, tc := range []warning{
		{"unknown", env("AMTP_FOO=1"), []string{"environment: AMTP_FOO is not a variable of this program"}},
		{"unknown, in order", env("AMTP_Z=1", "AMTP_A=1"), []string{"environment: AMTP_A ", "environment: AMTP_Z "}},
		{"unknown but empty", env("AMTP_FOO="), nil},
		{"of another program", env("FOO=1", "AMTPX=1"), nil},
		{"of the client", env("AMTP_GATEWAY_URL=http://x", "AMTP_AGENT_NAME=a", "AMTP_API_KEY=k", "AMTP_PROFILE=p",
			"AMTP_GATEWAY_PIN=x"), nil},
		{"off as it is", env("AMTP_METRICS_ENABLED=FALSE", "AMTP_SCHEMA_USE_LOCAL_REGISTRY=false"), nil},
		{"metrics", env("AMTP_METRICS_ENABLED=true"), []string{"environment: AMTP_METRICS_ENABLED" + notYet}},
		{"schemas", env("AMTP_SCHEMA_REGISTRY_PATH=/s"), []string{"environment: AMTP_SCHEMA_REGISTRY_PATH" + notYet}},
		{"memory", env("AMTP_STORAGE_TYPE=memory"),
			[]string{"environment: AMTP_STORAGE_TYPE is memory: messages are kept in SQLite"}},
		{"memory beside a database", env("AMTP_STORAGE_TYPE=memory", "AMTP_DATABASE_URL=postgres://h/d"),
			[]string{"environment: AMTP_STORAGE_TYPE is memory, but is not used"}},
		{"a connection string beside another", env("AMTP_STORAGE_TYPE=database",
			"AMTP_STORAGE_DATABASE_CONNECTION_STRING=host=h", "AMTP_DATABASE_URL=postgres://h/d"),
			[]string{"environment: AMTP_STORAGE_DATABASE_CONNECTION_STRING is not used"}},
		{"a connection string for nothing", env("AMTP_STORAGE_DATABASE_CONNECTION_STRING=host=h"),
			[]string{"environment: AMTP_STORAGE_DATABASE_CONNECTION_STRING is not used"}},
		{"a database", env("AMTP_STORAGE_TYPE=Database", "AMTP_STORAGE_DATABASE_DRIVER=postgres",
			"AMTP_STORAGE_DATABASE_CONNECTION_STRING=host=h user=u"), nil},
		{"short window", env("AMTP_IDEMPOTENCY_TTL=168h"),
			[]string{"environment: AMTP_IDEMPOTENCY_TTL is raised from 168h to nine days"}},
		{"the window", env("AMTP_IDEMPOTENCY_TTL=216h"), nil},
		{"long window", env("AMTP_IDEMPOTENCY_TTL=217h"), []string{"environment: AMTP_IDEMPOTENCY_TTL" + notYet}},
		{"validation off", env("AMTP_MESSAGE_VALIDATION_ENABLED=false"),
			[]string{"environment: AMTP_MESSAGE_VALIDATION_ENABLED is false, but validation cannot be turned off"}},
		{"validation on", env("AMTP_MESSAGE_VALIDATION_ENABLED=true"), nil},
		{"salt", env("AMTP_AUTH_API_KEY_SALT=s"),
			[]string{"environment: AMTP_AUTH_API_KEY_SALT is not used: keys are 256 random bits"}},
		{"header of agents", env("AMTP_AUTH_API_KEY_HEADER=X-Key"),
			[]string{"environment: AMTP_AUTH_API_KEY_HEADER is not used"}},
		{"header of administrators", env("AMTP_ADMIN_API_KEY_HEADER=X-Other"),
			[]string{"environment: AMTP_ADMIN_API_KEY_HEADER is not used"}},
		{"headers as they are", env("AMTP_ADMIN_API_KEY_HEADER=x-admin-key",
			"AMTP_AUTH_API_KEY_HEADER=X-API-Key"), nil},
	} {
		t.Run(tc.name, tc.test)
	}
}

func TestRefusedVariables(t *testing.T) {
	for _, tc := range []problem{
		{"a database of which nothing is said", env("AMTP_STORAGE_TYPE=database"), "environment",
			"AMTP_STORAGE_TYPE is database, and AMTP_STORAGE_DATABASE_CONNECTION_STRING is not set"},
		{"a database of another kind", env("AMTP_STORAGE_TYPE=database", "AMTP_STORAGE_DATABASE_DRIVER=mysql",
			"AMTP_STORAGE_DATABASE_CONNECTION_STRING=host=h"), "environment",
			"AMTP_STORAGE_DATABASE_DRIVER is not postgres"},
		{"a connection string that is none", env("AMTP_STORAGE_TYPE=database",
			"AMTP_STORAGE_DATABASE_CONNECTION_STRING=mysql://u:p@h"), "environment",
			"AMTP_STORAGE_DATABASE_CONNECTION_STRING is not the address of a PostgreSQL"},
		{"a pool of no size", env("AMTP_STORAGE_TYPE=database", "AMTP_STORAGE_DATABASE_CONNECTION_STRING=host=h",
			"AMTP_STORAGE_DATABASE_MAX_CONNECTIONS=many"), "environment",
			`AMTP_STORAGE_DATABASE_MAX_CONNECTIONS: "many" is not a number`},
		{"a lease that is too short", env("AMTP_QUEUE_LEASE=500ms"), "AMTP_QUEUE_LEASE", `"500ms" is shorter than 1s`},
		{"a lease that is too long", env("AMTP_QUEUE_LEASE=2h"), "AMTP_QUEUE_LEASE", `"2h" is longer than 1h`},
		{"a policy by two names that differ", env("AMTP_FEDERATION_UNSIGNED=flag",
			"AMTP_SIGNATURE_VERIFY_POLICY=reject"), "environment",
			`AMTP_FEDERATION_UNSIGNED is "flag" and AMTP_SIGNATURE_VERIFY_POLICY is "reject", and both mean federation.unsigned`},
		{"a policy that is none", env("AMTP_SIGNATURE_VERIFY_POLICY=deny"), "AMTP_SIGNATURE_VERIFY_POLICY",
			`federation.unsigned: "deny" is not one of: accept, flag, reject`},
		{"other storage", env("AMTP_STORAGE_TYPE=redis"), "environment",
			`AMTP_STORAGE_TYPE: "redis" is neither memory nor database`},
		{"database URL", env("AMTP_DATABASE_URL=mysql://u:p@h/d"), "AMTP_DATABASE_URL",
			"is not the address of a PostgreSQL"},
		{"database URL that config show printed", env("AMTP_DATABASE_URL=postgres://u:(set)@h/d"), "AMTP_DATABASE_URL",
			"is not the address of a PostgreSQL"},
		{"window that is no duration", env("AMTP_IDEMPOTENCY_TTL=week"), "environment",
			`AMTP_IDEMPOTENCY_TTL: "week" is not a duration`},
		{"validation that is no boolean", env("AMTP_MESSAGE_VALIDATION_ENABLED=off"), "environment",
			`"off" is neither true nor false`},
	} {
		t.Run(tc.name, tc.test)
	}
}

// TestValuesOfVariablesStaySecret: no message shows the value of a variable that may
// hold a password.
func TestValuesOfVariablesStaySecret(t *testing.T) {
	for _, v := range variables() {
		if v.name == "AMTP_STORAGE_TYPE" || v.name == "AMTP_IDEMPOTENCY_TTL" ||
			v.name == "AMTP_MESSAGE_VALIDATION_ENABLED" {
			continue
		}
		_, warnings, err := env(v.name + "=canary").load(t)
		for _, w := range warnings {
			if strings.Contains(w.String(), "canary") {
				t.Errorf("the warning about %s shows its value: %s", v.name, w)
			}
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("the problem with %s shows its value: %v", v.name, err)
		}
	}
}

// TestPolicyByTheReferencesName: the variable of the reference gateway is another name
// of the setting.
func TestPolicyByTheReferencesName(t *testing.T) {
	for _, tc := range []struct {
		in   command
		want string
	}{
		{env(), "flag"},
		{env("AMTP_SIGNATURE_VERIFY_POLICY=reject"), "reject"},
		{env("AMTP_SIGNATURE_VERIFY_POLICY=ACCEPT"), "accept"},
		{env("AMTP_SIGNATURE_VERIFY_POLICY=", "AMTP_FEDERATION_UNSIGNED=accept"), "accept"},
		{env("AMTP_SIGNATURE_VERIFY_POLICY=Reject", "AMTP_FEDERATION_UNSIGNED=reject"), "reject"},
	} {
		cfg, warnings, err := tc.in.loadIn(t, t.TempDir())
		if err != nil || len(warnings) > 0 || cfg.Federation.Unsigned != tc.want {
			t.Errorf("with %q: %q, %v, %v; want %q", tc.in.env, cfg.Federation.Unsigned, warnings, err, tc.want)
		}
	}
}
