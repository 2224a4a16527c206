package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"
)

// renewBefore is how long before its end a certificate should have been replaced, as
// automatic renewal does.
const renewBefore = 7 * 24 * time.Hour

// certificatePoint: the certificate is from a known authority, for this host,
// and valid.
func certificatePoint(s *SeenDomain) Finding {
	c := &s.Call
	switch {
	case !c.Made || !c.Connected:
		return notReached(PointCertificate, PointConnection)
	case c.Older:
		return notReached(PointCertificate, PointTLS)
	case c.Verified && c.TLS == nil && strings.HasPrefix(s.Found.Gateway, "http:"):
		return Finding{Name: PointCertificate, Skipped: true, Text: "not looked at: the gateway is called without TLS"}
	case !c.Verified:
		return badCertificate(s)
	case c.TLS == nil || len(c.TLS.PeerCertificates) == 0:
		return good(PointCertificate, "is accepted") // the connection ended before an answer
	}
	leaf := c.TLS.PeerCertificates[0]
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	if left := leaf.NotAfter.Sub(c.Ended); left < renewBefore && left < leaf.NotAfter.Sub(leaf.NotBefore)/3 {
		return bad(PointCertificate, "renew it now", "is valid for %s until %s, which is in %s", s.Host,
			leaf.NotAfter.UTC().Format(time.RFC3339), roughly(left))
	}
	return good(PointCertificate, "is valid for %s until %s", s.Host, until)
}

// badCertificate says what is wrong with a certificate that was refused.
func badCertificate(s *SeenDomain) Finding {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	err := s.Call.Err
	switch {
	case errors.As(err, &host):
		return bad(PointCertificate, "get a certificate for "+s.Host+", or publish the host that this one is for",
			"is for %s and not for %s", strings.Join(names(host.Certificate), ", "), s.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && s.Call.Ended.Before(invalid.Cert.NotBefore):
		return bad(PointCertificate,
			"check whether the clock of this machine is right; else wait, or use the former one",
			"is valid from %s on only", invalid.Cert.NotBefore.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return bad(PointCertificate, "renew it", "has expired on %s", invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &unknown):
		return bad(PointCertificate,
			"use one of a public authority, with its whole chain in the file; a private authority must be trusted by all others: outbound.ca_file",
			"is from an authority that is not known here")
	case errors.As(err, &invalid):
		return bad(PointCertificate, "get another one", "is refused: %v", invalid)
	}
	return bad(PointCertificate, "check whether it speaks TLS at all, and with TLS 1.3",
		"no TLS connection can be made: %v", err)
}

// names returns the names for which a certificate is valid.
func names(c *x509.Certificate) []string {
	list := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		return []string{"nobody"}
	}
	return list
}

// tlsPoint: the server speaks TLS 1.3. AMTP §5.
func tlsPoint(s *SeenDomain) Finding {
	const mend = "allow TLS 1.3 in the gateway, or in the proxy in front of it"
	c := &s.Call
	switch {
	case c.Older:
		return bad(PointTLS, mend, "no version of TLS beyond 1.2 is spoken there")
	case c.Verified && c.TLS == nil && c.Header != nil:
		return Finding{Name: PointTLS, Skipped: true, Text: "not looked at: the gateway is called without TLS"}
	case c.TLS == nil:
		return notReached(PointTLS, stoppedOr(c, PointGateway))
	case c.TLS.Version < tls.VersionTLS13:
		return bad(PointTLS, mend, "only %s is spoken there", tls.VersionName(c.TLS.Version))
	}
	return good(PointTLS, "%s", tls.VersionName(c.TLS.Version))
}

// http2Point: the server speaks HTTP/2. AMTP §5.
func http2Point(s *SeenDomain) Finding {
	c := &s.Call
	switch {
	case c.Proto == 0:
		return notReached(PointHTTP2, stoppedOr(c, PointGateway))
	case c.TLS == nil:
		return Finding{Name: PointHTTP2, Skipped: true, Text: "not looked at: the gateway is called without TLS"}
	case c.Proto < 2:
		return bad(PointHTTP2, "allow HTTP/2 in the proxy in front of the gateway; messages arrive all the same",
			"only HTTP/1.1 is spoken there")
	}
	return good(PointHTTP2, "is spoken")
}
