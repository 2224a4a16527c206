package postgres

import (
	"errors"
	"testing"
)

// TestVerified: a connection that leaves the machine verifies its server.
func TestVerified(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for url, host := range map[string]string{ // "" is fine
		"postgres://u:p@db.example.com/amtp":                                                "db.example.com",
		"postgres://u:p@db.example.com/amtp?sslmode=disable":                                "db.example.com",
		"postgres://u:p@db.example.com/amtp?sslmode=allow":                                  "db.example.com",
		"postgres://u:p@db.example.com/amtp?sslmode=prefer":                                 "db.example.com",
		"postgres://u:p@db.example.com/amtp?sslmode=require":                                "db.example.com",
		"postgres://u:p@db.example.com/amtp?sslmode=verify-full":                            "",
		"postgres://u:p@db.example.com/amtp?sslmode=verify-ca":                              "",
		"postgres://u:p@10.0.0.7:5433/amtp?sslmode=require":                                 "10.0.0.7",
		"postgres://u:p@127.0.0.1,db.example.com/amtp?sslmode=disable":                      "db.example.com",
		"postgres://u:p@127.0.0.1,[::1]:7,localhost/amtp?sslmode=disable":                   "",
		"postgres://u:p@localhost/amtp":                                                     "",
		"postgres://u:p@[::1]:5432/amtp?sslmode=disable":                                    "",
		"postgres:///amtp?host=/run/postgresql":                                             "",
		"host=/run/postgresql dbname=amtp":                                                  "",
		"host=db.example.com dbname=amtp sslmode=disable":                                   "db.example.com",
		"host=db.example.com dbname=amtp sslmode=verify-full":                               "",
		"host='127.0.0.1' dbname=amtp":                                                      "",
		"postgres://u:p@localhost.evil.example/amtp?sslmode=disable":                        "localhost.evil.example",
		"postgres://u:p@ignored.example/amtp?host=db.example.com&sslmode=disable":           "db.example.com",
		"postgres://u:p@db.example.com/amtp?sslmode=verify-full&application_name=x":         "",
		"postgres://u:p@pool.example.com/amtp?sslmode=disable&default_query_exec_mode=exec": "pool.example.com",
	} {
		err := Verified(url)
		var found *UnverifiedError
		if host == "" && err != nil || host != "" && (!errors.As(err, &found) || found.Host != host) {
			t.Errorf("Verified(%s) = %v, want one for the host %q", url, err, host)
		}
	}
	t.Setenv("PGSSLMODE", "verify-full")
	if err := Verified("postgres://u:p@db.example.com/amtp"); err != nil {
		t.Errorf("with PGSSLMODE=verify-full: %v", err)
	}
	if err := Verified("postgres://u:p@db.example.com/amtp?sslmode=bogus"); err == nil ||
		errors.As(err, new(*UnverifiedError)) {
		t.Errorf("an address that cannot be read: %v", err)
	}
}
