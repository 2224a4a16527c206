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
	CertificateMissing CertificateState = "missing" // none was ever obtained
)

// Where the certificates of a gateway come from.
const (
	CertificateFile = "file" // files that somebody else renews
	CertificateACME = "acme" // obtained and renewed by the gateway
)

// Certificate is one that a gateway shows its callers, as its operator sees it:
// nothing of it is secret. Zero times are left out.
type Certificate struct {
	State     CertificateState `json:"state"`
	Hosts     []string         `json:"hosts"` // names and addresses that it is for
	Issuer    string           `json:"issuer,omitempty"`
	Serial    string           `json:"serial,omitempty"` // in hexadecimal digits
	NotBefore amtp.Time        `json:"not_before,omitzero"`
	NotAfter  amtp.Time        `json:"not_after,omitzero"`
	DaysLeft  int              `json:"days_left"`             // whole days until NotAfter, less than 0 behind it
	Next      amtp.Time        `json:"next_renewal,omitzero"` // when the gateway tries to get the next one
	// of the last attempt to get another one, "" when it succeeded
	Error   string    `json:"last_error,omitempty"`
	ErrorAt amtp.Time `json:"last_error_at,omitzero"` // when that was
}

// CertificateList answers GET /v1/admin/certificate.
type CertificateList struct {
	Source string `json:"source"` // CertificateFile or CertificateACME
	From   string `json:"from"`   // the file, or the directory of the authority
	// how the authority is shown that the host is ours: http-01 or tls-alpn-01
	Challenge    string        `json:"challenge,omitempty"`
	Certificates []Certificate `json:"certificates"`
}

// CertificateRenewal answers the call that renews certificates.
type CertificateRenewal struct {
	Renewed bool `json:"renewed"` // another certificate is in use than before
	CertificateList
}

// Certificates tells of the certificates that the gateway shows its callers. It is
// CONFLICT on a gateway that speaks no TLS itself.
func (c *Client) Certificates(ctx context.Context) (CertificateList, error) {
	var out CertificateList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "certificate"}, Repeat: true}, &out)
	return out, err
}

// RenewCertificates has the gateway get now what is due, missing or changed on
// disk, and with force another certificate in any case. It may take two minutes.
// CERTIFICATE_FAILED when one could not be had; the one in use goes on.
func (c *Client) RenewCertificates(ctx context.Context, force bool) (CertificateRenewal, error) {
	var out CertificateRenewal
	body := map[string]bool{"force": force}
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "certificate", "renew"}, Body: body}, &out)
	return out, err
}
