package testnet_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/canonical"
)

// step is one way in which the proof of a sender succeeds or fails. arrive gets a
// correctly signed letter of the domain, and returns the body that arrives.
type step struct {
	name   string
	reason amtp.Reason // "" when it verifies
	arrive func(d *domain, l letter) []byte
}

// changed is a step in which a member was changed on the way.
func changed(name string, value any) func(*domain, letter) []byte {
	return func(_ *domain, l letter) []byte { return l.with(name, value).bytes() }
}

// signedWithout is a step in which the domain left out a member and signed the rest.
func signedWithout(name string) func(*domain, letter) []byte {
	return func(d *domain, l letter) []byte { return d.signs(l.with(name, nil)).bytes() }
}

// saying is a step in which a member of the signature has another value.
func saying(name string, value any) func(*domain, letter) []byte {
	return func(_ *domain, l letter) []byte { return l.signatureWith(name, value).bytes() }
}

// publishing is a step in which DNS has another record for the key.
func publishing(records func(d *domain) []string) func(*domain, letter) []byte {
	return func(d *domain, l letter) []byte {
		d.publish("key1", records(d)...)
		return l.bytes()
	}
}

// passes is a step in which the domain has another key and signs with it.
func passes(k func() *key) func(*domain, letter) []byte {
	return func(d *domain, l letter) []byte {
		d.key = k()
		d.publish("key1", d.key.record())
		return d.signs(l).bytes()
	}
}

// at is a step in which the signature is of that age.
func at(age time.Duration) func(*domain, letter) []byte {
	return func(d *domain, l letter) []byte {
		return d.signs(l.with("timestamp", time.Now().Add(-age).UTC().Format(amtp.TimeFormat))).bytes()
	}
}

// steps breaks each step of docs/signatures.md separately. The proof passes where the
// step does not matter.
var steps = []step{
	{"no signature", amtp.ReasonUnsigned, changed("signature", nil)},
	{"signature is null", amtp.ReasonUnsigned, func(_ *domain, l letter) []byte {
		return bytes.Replace(l.with("signature", nil).bytes(), []byte(`{`), []byte(`{"signature":null,`), 1)
	}},
	{"signature has no member", amtp.ReasonMalformed, changed("signature", map[string]any{})},
	{"no algorithm", amtp.ReasonMalformed, saying("algorithm", nil)},
	{"algorithm is a number", amtp.ReasonMalformed, saying("algorithm", 256)},
	{"no keyid", amtp.ReasonMalformed, saying("keyid", nil)},
	{"keyid is no name", amtp.ReasonMalformed, saying("keyid", "../key1")},
	{"no value", amtp.ReasonMalformed, saying("value", nil)},
	{"value is not base64", amtp.ReasonMalformed, saying("value", "not base64!")},
	{"value in padded base64", amtp.ReasonMalformed, func(_ *domain, l letter) []byte {
		return l.signatureWith("value", base64.StdEncoding.EncodeToString(l.value())).bytes()
	}},
	{"value in padded base64 for URLs", amtp.ReasonMalformed, func(_ *domain, l letter) []byte {
		return l.signatureWith("value", base64.URLEncoding.EncodeToString(l.value())).bytes()
	}},
	{"unknown members of the signature", amtp.ReasonMalformed, saying("x-note", []int{1})},
	{"keyid in capitals", amtp.ReasonMalformed, saying("keyid", "KEY1")},
	{"keyid with the domain", amtp.ReasonMalformed, func(d *domain, l letter) []byte {
		return l.signatureWith("keyid", d.name+":key1").bytes()
	}},

	{"keyid of another domain", amtp.ReasonMalformed, func(d *domain, l letter) []byte {
		other := d.w.newDomain(true)
		return l.signedBy(other.key, other.name+":key1").bytes()
	}},
	{"keyid of our own domain", amtp.ReasonMalformed, saying("keyid", ours+":key1")},
	{"keyid of the domain above", amtp.ReasonMalformed, func(d *domain, l letter) []byte {
		_, above, _ := strings.Cut(d.name, ".")
		d.w.net.DNS.TXT("key1._amtpkey."+above, time.Minute, d.key.record())
		return l.signatureWith("keyid", above+":key1").bytes()
	}},
	{"keyid of a domain below", amtp.ReasonMalformed, func(d *domain, l letter) []byte {
		d.w.net.DNS.TXT("key1._amtpkey.mail."+d.name, time.Minute, d.key.record())
		return l.signatureWith("keyid", "mail."+d.name+":key1").bytes()
	}},

	{"algorithm none", amtp.ReasonUnsupportedAlgorithm, saying("algorithm", "none")},
	{"unknown algorithm", amtp.ReasonUnsupportedAlgorithm, saying("algorithm", "ES512")},
	{"algorithm in another spelling", amtp.ReasonUnsupportedAlgorithm, saying("algorithm", "es256")},
	{"HMAC with the public key", amtp.ReasonUnsupportedAlgorithm, func(d *domain, l letter) []byte {
		form, err := canonical.Form(l.with("signature", nil).bytes())
		if err != nil {
			d.w.Fatal(err)
		}
		mac := hmac.New(sha256.New, []byte(d.key.record()))
		mac.Write(form)
		return l.with("signature", signature("HS256", "key1", mac.Sum(nil))).bytes()
	}},
	{"algorithm EdDSA", amtp.ReasonUnsupportedAlgorithm, saying("algorithm", "EdDSA")},
	{"algorithm of another key", amtp.ReasonAlgorithmMismatch, saying("algorithm", "RS256")},
	{"key for another algorithm", amtp.ReasonAlgorithmMismatch, publishing(func(*domain) []string {
		return []string{rs256(2048).record()}
	})},

	{"no such key", amtp.ReasonKeyMissing, saying("keyid", "key2")},
	{"no record of a key among others", amtp.ReasonKeyMissing,
		publishing(func(*domain) []string { return []string{"v=spf1 -all"} })},
	{"several different keys", amtp.ReasonKeyAmbiguous, publishing(func(d *domain) []string {
		return []string{d.key.record(), es256().record()}
	})},
	{"the same key twice", amtp.ReasonKeyAmbiguous, publishing(func(d *domain) []string {
		return []string{d.key.record(), d.key.record()}
	})},
	{"record in the form of before", amtp.ReasonKeyMissing, publishing(func(d *domain) []string {
		return []string{strings.Replace(d.key.record(), "v=amtpkey1;alg=", "v=amtp1;k=", 1)}
	})},
	{"record is not valid", amtp.ReasonKeyInvalid, publishing(func(*domain) []string {
		return []string{"v=amtpkey1;alg=ES256;p=AAAA"}
	})},
	{"record without an algorithm", amtp.ReasonKeyInvalid, publishing(func(d *domain) []string {
		return []string{strings.Replace(d.key.record(), "alg=ES256;", "", 1)}
	})},
	{"key of another curve", amtp.ReasonKeyInvalid, publishing(func(d *domain) []string {
		private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			d.w.Fatal(err)
		}
		return []string{recordOf("ES256", private.Public())}
	})},
	{"RSA key of 1024 bits", amtp.ReasonKeyInvalid, passes(func() *key { return rs256(1024) })},
	{"record without a key in it", amtp.ReasonKeyInvalid, publishing(func(*domain) []string {
		return []string{"v=amtpkey1;alg=ES256;p="}
	})},
	{"record with a parameter twice", amtp.ReasonKeyInvalid, publishing(func(d *domain) []string {
		return []string{d.key.record() + ";alg=ES256"}
	})},

	{"another key", amtp.ReasonBadSignature, publishing(func(*domain) []string { return []string{es256().record()} })},
	{"signature of another letter", amtp.ReasonBadSignature, func(d *domain, l letter) []byte {
		return l.with("signature", d.signs(d.writes("bob@" + ours))["signature"]).bytes()
	}},
	{"signature in ASN.1", amtp.ReasonBadSignature, func(d *domain, l letter) []byte {
		v := l.value()
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(v[:32]), new(big.Int).SetBytes(v[32:])})
		if err != nil {
			d.w.Fatal(err)
		}
		return l.signatureWith("value", base64.RawURLEncoding.EncodeToString(der)).bytes()
	}},
	{"signature of zeros", amtp.ReasonBadSignature, saying("value",
		base64.RawURLEncoding.EncodeToString(make([]byte, 64)))},
	{"signature cut short", amtp.ReasonBadSignature, func(_ *domain, l letter) []byte {
		return l.signatureWith("value", base64.RawURLEncoding.EncodeToString(l.value()[:63])).bytes()
	}},

	{"message_id changed", amtp.ReasonBadSignature, changed("message_id", uuid.NewString())},
	{"idempotency_key changed", amtp.ReasonBadSignature, changed("idempotency_key", uuid.NewString())},
	{"timestamp changed", amtp.ReasonBadSignature, changed("timestamp",
		time.Now().Add(-time.Minute).UTC().Format(amtp.TimeFormat))},
	{"sender changed", amtp.ReasonBadSignature, func(d *domain, l letter) []byte {
		return l.with("sender", "boss@"+d.name).bytes()
	}},
	{"recipients gained one", amtp.ReasonBadSignature, func(_ *domain, l letter) []byte {
		return l.with("recipients", append(l["recipients"].([]string), "nobody@"+ours)).bytes()
	}},
	{"recipient swapped", amtp.ReasonBadSignature, func(d *domain, l letter) []byte {
		return d.signs(l.with("recipients", []string{"eve@elsewhere.example"})).with("recipients",
			l["recipients"]).bytes()
	}},
	{"payload changed", amtp.ReasonBadSignature, changed("payload", map[string]any{"total": 1})},
	{"payload taken away and null in its place", amtp.ReasonBadSignature, func(_ *domain, l letter) []byte {
		return bytes.Replace(l.with("payload", nil).bytes(), []byte(`{`), []byte(`{"payload":null,`), 1)
	}},
	{"subject changed", amtp.ReasonBadSignature, changed("subject", "another")},
	{"member added", amtp.ReasonBadSignature, changed("in_reply_to", uuid.NewString())},
	{"unknown member added", amtp.ReasonBadSignature, changed("x-note", "pay at once")},
	{"member taken away", amtp.ReasonBadSignature, changed("subject", nil)},

	{"no version", amtp.ReasonIncomplete, signedWithout("version")},
	{"no message_id", amtp.ReasonIncomplete, signedWithout("message_id")},
	{"no idempotency_key", amtp.ReasonIncomplete, signedWithout("idempotency_key")},
	{"no timestamp", amtp.ReasonIncomplete, signedWithout("timestamp")},
	{"number that the canonical form changes", amtp.ReasonInexactNumber, func(d *domain, l letter) []byte {
		rounded := d.signs(l.with("payload", 9007199254740992))
		return bytes.Replace(rounded.bytes(), []byte("9007199254740992"), []byte("9007199254740993"), 1)
	}},
	{"8 days old and more", amtp.ReasonExpired, at(8*24*time.Hour + time.Minute)},
	{"10 minutes ahead and more", amtp.ReasonNotYetValid, at(-12 * time.Minute)},

	{"ES256", "", passes(es256)},
	{"RS256", "", passes(func() *key { return rs256(2048) })},
	{"RS256 in a record of several strings", "", passes(func() *key { return rs256(4096) })},
	{"key beside one that is not valid", "", publishing(func(d *domain) []string {
		return []string{d.key.record(), "v=amtpkey1;alg=ES256;p=AAAA"}
	})},
	{"record with unknown parameters", "", publishing(func(d *domain) []string {
		return []string{"note=1; " + d.key.record()}
	})},
	{"no payload", "", signedWithout("payload")},
	{"nearly 8 days old", "", at(8*24*time.Hour - time.Hour)},
	{"8 minutes ahead", "", at(-8 * time.Minute)},
	{"key behind an alias", "", func(d *domain, l letter) []byte {
		d.w.net.DNS.CNAME("key3._amtpkey."+d.name, time.Minute, "key1._amtpkey."+d.name)
		return l.signatureWith("keyid", "key3").bytes()
	}},
	{"payload null", "", func(d *domain, l letter) []byte {
		body := bytes.Replace(l.with("payload", nil).with("signature", nil).bytes(), []byte(`{`),
			[]byte(`{"payload":null,`), 1)
		form, err := canonical.Form(body)
		if err != nil {
			d.w.Fatal(err)
		}
		l = l.with("payload", nil).with("signature", signature("ES256", "key1", d.key.sign(form)))
		return bytes.Replace(l.bytes(), []byte(`{`), []byte(`{"payload":null,`), 1)
	}},
	{"the same written by another hand", "", func(_ *domain, l letter) []byte {
		return bytes.ReplaceAll(bytes.Replace(l.bytes(), []byte("29.99"), []byte("2.999e1"), 1), []byte(`,"`),
			[]byte(",\n  \""))
	}},
	{"sender in capitals", "", func(d *domain, l letter) []byte {
		return d.signs(l.with("sender", "ANN@"+strings.ToUpper(d.name))).bytes()
	}},
}
