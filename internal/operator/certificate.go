package operator

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// certificates returns the source of the listener's certificates.
func (o *Operator) certificates() (Certificates, error) {
	if o.Certificates == nil {
		return nil, amtp.Errorf(amtp.CodeConflict,
			"This gateway speaks no TLS itself and has no certificate; a proxy in front of it may have one. Give it one with tls.cert_file, or acme.enabled, and start it again.")
	}
	return o.Certificates, nil
}

// HasCertificates returns an error if the gateway has no certificates.
func (o *Operator) HasCertificates() error {
	_, err := o.certificates()
	return err
}

// ListCertificates describes the certificates in use.
func (o *Operator) ListCertificates() (admin.CertificateList, error) {
	source, err := o.certificates()
	if err != nil {
		return admin.CertificateList{}, err
	}
	return source.List(), nil
}

// RenewTime is how long RenewCertificates waits for an authority, which first has to
// check the gateway. With DNS-01 the record alone may take two minutes.
const RenewTime = 5 * time.Minute

// RenewCertificates now gets the certificates that are due, or with force all of them.
func (o *Operator) RenewCertificates(ctx context.Context, force bool) (done admin.CertificateRenewal, err error) {
	source, err := o.certificates()
	if err != nil {
		return done, err
	}
	ctx, cancel := context.WithTimeout(ctx, RenewTime)
	defer cancel()
	changed, err := source.Renew(ctx, force)
	if err != nil {
		e := amtp.Errorf(amtp.CodeCertificateFailed,
			"Another certificate could not be had; the one in use goes on. %s", err)
		e.Cause = err
		return done, e
	}
	return admin.CertificateRenewal{Renewed: changed, CertificateList: source.List()}, nil
}
