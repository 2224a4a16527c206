package config

import (
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// minAdminKey is the least length of an administrator's key, in characters, if strangers
// can reach the gateway: a shorter key can be guessed. A gateway with a domain that listens
// on loopback has a proxy in front, through which strangers come.
const minAdminKey = 16

// check checks settings against one another. Every field is valid by itself.
func (l *loader) check() {
	if l.cfg.DataDir == "" && (l.cfg.Database.URL == "" || l.cfg.SealKey == "") {
		l.refuse("data_dir", "is empty and there is no user's data directory: set AMTP_DATA_DIR")
	}
	if l.cfg.Limits.InFlightBytes < l.cfg.Message.MaxSize {
		l.refuse("limits.in_flight_bytes", "is less than message.max_size: the largest message could never be accepted")
	}
	l.checkDatabase()
	l.checkPeersShare()
	l.checkRetention()
	l.checkTLS()
	l.checkACME()
	l.checkReach()
	l.checkPublic()
	l.checkAdminKeys()
	l.checkSignature()
	l.checkOutside()
	l.checkReceipts()
}

// checkDatabase warns about a password that others can read.
func (l *loader) checkDatabase() {
	url := l.cfg.Database.URL
	if strings.HasPrefix(l.cfg.origin("database.url"), "--") &&
		(strings.Contains(url.String(), redacted) || strings.Contains(string(url), "password")) {
		l.advise("database.url",
			"has a password, and every user of this machine can read a command line: give it in AMTP_DATABASE_URL or in the file")
	}
}

// peersShare is the part of limits.in_flight_bytes that other domains may use, in httpapi.
const peersShare = 8

// checkPeersShare warns if the share of other domains is too small for one largest
// message. The gateway then raises the share to that size.
func (l *loader) checkPeersShare() {
	limits, most := l.cfg.Limits, l.cfg.Message.MaxSize
	if l.cfg.Federated() && limits.InFlightBytes >= most && limits.InFlightBytes/peersShare < most {
		l.advise("limits.in_flight_bytes",
			"an eighth of it is for other domains, and that is less than message.max_size: their largest messages are taken one at a time; give at least eight times message.max_size")
	}
}

// refuse reports the value of a setting as a problem, at the place it came from.
func (l *loader) refuse(path, text string) { l.problem(l.cfg.origin(path), path+": "+text) }

// advise warns about the value of a setting, at the place it came from.
func (l *loader) advise(path, text string) { l.warn(l.cfg.origin(path), path+": "+text) }

func (l *loader) checkTLS() {
	t := l.cfg.TLS
	cert, key := t.CertFile != "", t.KeyFile != ""
	switch {
	case t.Enabled == Off:
		if cert || key {
			l.advise("tls.enabled", "is false, so the certificate and its key are not used")
		}
	case cert && !key:
		l.refuse("tls.cert_file", "is given without tls.key_file")
	case key && !cert:
		l.refuse("tls.key_file", "is given without tls.cert_file")
	case cert:
		if err := tryPair(t.CertFile, t.KeyFile); err != nil {
			l.refuse("tls.cert_file", "cannot be used with tls.key_file: "+err.Error())
		}
	case l.cfg.ACME.Enabled:
	case t.Enabled == On:
		l.refuse("tls.enabled",
			"is true, but neither tls.cert_file nor tls.key_file is given, and acme.enabled is false")
	case !l.cfg.Loopback():
		l.refuse("server.address",
			fmt.Sprintf("%s can be reached from other machines and there is no certificate. Four ways out: "+
				"give tls.cert_file and tls.key_file (AMTP_TLS_CERT_FILE, AMTP_TLS_KEY_FILE); "+
				"have the gateway obtain one (AMTP_ACME_ENABLED=true); "+
				"listen on 127.0.0.1 with a TLS proxy in front; "+
				"or set AMTP_TLS_ENABLED=false to send keys and messages in plain text", l.cfg.Server.Address))
	}
}

// checkReach warns about a listener that is open to other machines.
func (l *loader) checkReach() {
	if l.cfg.Loopback() {
		return
	}
	if l.cfg.TLS.Enabled == Off {
		l.advise("tls.enabled", "is false: keys and messages cross the network in plain text")
	}
	if l.cfg.Server.Domain == "localhost" {
		l.advise("server.domain",
			"is localhost, a name by which no other machine can reach these agents: set AMTP_DOMAIN to the domain of this gateway")
	}
}

func (l *loader) checkAdminKeys() {
	if key := l.cfg.Auth.AdminKey; key != "" {
		l.checkLength("auth.admin_key", string(key))
	}
	file := l.cfg.Auth.AdminKeyFile
	if file == "" {
		return
	}
	keys, err := readKeyFile(file)
	if err != nil {
		l.refuse("auth.admin_key_file", brief(file)+": "+reason(err))
		return
	}
	for _, key := range keys {
		l.checkLength("auth.admin_key_file", key)
	}
	if othersMayRead(file) {
		l.advise("auth.admin_key_file", "every user of this machine may read "+brief(file))
	}
}

// checkSignature refuses a file with which the gateway could not sign.
func (l *loader) checkSignature() {
	const setting = "signature.private_key_file"
	file := l.cfg.Signature.PrivateKeyFile
	if file == "" {
		if l.cfg.origin("signature.key_id") != fromDefault {
			l.advise("signature.key_id",
				"names the key of signature.private_key_file, which is not given: the gateway signs with a key of its own")
		}
		return
	}
	if err := tryKey(file); err != nil {
		l.refuse(setting, brief(file)+": "+reason(err))
		return
	}
	if _, err := amtp.KeyRecordName(l.cfg.Signature.KeyID, l.cfg.Server.Domain); err != nil {
		l.refuse("signature.key_id", err.Error())
	}
	if othersMayRead(file) {
		l.advise(setting, "every user of this machine may read "+brief(file))
	}
	if !l.cfg.Federated() {
		l.advise(setting,
			"signs nothing as long as server.domain is localhost: such a gateway writes to no other domain")
	}
}

// tryPair reads a certificate and its key, as the listener does.
func tryPair(certFile, keyFile string) error {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(keyFile)
	if err == nil {
		_, err = tls.X509KeyPair(plaintext.Content(cert), plaintext.Content(key))
	}
	return err
}

// tryKey reads a signing key.
func tryKey(file string) error {
	content, err := os.ReadFile(file)
	if err == nil {
		_, err = amtp.ParseSigningKey(content)
	}
	return err
}

// checkLength refuses a key that strangers could guess.
func (l *loader) checkLength(path, key string) {
	why := ""
	switch {
	case len(key) >= minAdminKey:
		return
	case !l.cfg.Loopback():
		why = "a listener that other machines can reach"
	case l.cfg.Federated():
		why = "a gateway with a domain"
	case l.cfg.Auth.Required:
		why = "a gateway that demands keys"
	default:
		return
	}
	l.refuse(path, fmt.Sprintf("a key of %d characters is too short for %s: give at least %d", len(key), why,
		minAdminKey))
}

// othersMayRead reports whether users other than the owner and the group may read a file.
// Windows does not say.
func othersMayRead(name string) bool {
	info, err := os.Stat(name)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}
