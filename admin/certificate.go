package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// CertificateState says whether callers can trust a certificate.
type CertificateState string

// The states of a certificate.
const (
	CertificateValid   CertificateState = "valid"
	CertificateExpired CertificateState = "expired" // or not valid yet
	CertificateMissing CertificateState = "missing" // no certificate was ever obtained
)

// Where the certificates of a gateway come from.
const (
	CertificateFile = "file" // files that something other than the gateway renews
	CertificateACME = "acme" // obtained and renewed by the gateway
)

// Certificate is a certificate that a gateway shows its callers, as its operator sees
// it. It contains no secret. Zero times are left out.
type Certificate struct {
	State     CertificateState `json:"state"`
	Hosts     []string         `json:"hosts"` // names and addresses for which it is valid
	Issuer    string           `json:"issuer,omitempty"`
	Serial    string           `json:"serial,omitempty"` // in hexadecimal digits
	NotBefore amtp.Time        `json:"not_before,omitzero"`
	NotAfter  amtp.Time        `json:"not_after,omitzero"`
	DaysLeft  int              `json:"days_left"`             // whole days until NotAfter, negative after it
	Next      amtp.Time        `json:"next_renewal,omitzero"` // when the gateway tries to get the next one
	// of the last attempt to get another one, "" if it succeeded
	Error   string    `json:"last_error,omitempty"`
	ErrorAt amtp.Time `json:"last_error_at,omitzero"` // when that attempt was
}

// CertificateList answers GET /v1/admin/certificate.
type CertificateList struct {
	Source string `json:"source"` // CertificateFile or CertificateACME
	From   string `json:"from"`   // the file, or the directory of the authority
	// how the authority checks that the host is ours: http-01, tls-alpn-01 or dns-01
	Challenge    string        `json:"challenge,omitempty"`
	Certificates []Certificate `json:"certificates"`
}

// CertificateRenewal answers the call that renews certificates.
type CertificateRenewal struct {
	Renewed bool `json:"renewed"` // whether another certificate than before is in use
	CertificateList
}

// Certificates returns the certificates that the gateway shows its callers. The error
// is CONFLICT on a gateway that has no TLS of its own.
func (c *Client) Certificates(ctx context.Context) (CertificateList, error) {
	var out CertificateList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "certificate"}, Repeat: true}, &out)
	return out, err
}

// RenewCertificates makes the gateway now get each certificate that is due, missing or
// changed on disk. With force it gets another certificate in any case. It may take two
// minutes. The error is CERTIFICATE_FAILED if a certificate could not be obtained; then
// the one in use stays.
func (c *Client) RenewCertificates(ctx context.Context, force bool) (CertificateRenewal, error) {
	var out CertificateRenewal
	body := map[string]bool{"force": force}
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "certificate", "renew"}, Body: body}, &out)
	return out, err
}
