package amtp

import "context"

// Certificates tells of the certificates that the gateway shows its callers. It
// needs AdminKey; CONFLICT on a gateway that speaks no TLS itself.
func (c *Client) Certificates(ctx context.Context) (CertificateList, error) {
	var out CertificateList
	_, err := c.do(ctx, call{method: "GET", path: path("admin", "certificate"), admin: true, repeat: true}, &out)
	return out, err
}

// RenewCertificates has the gateway get now what is due, missing or changed on
// disk, and with force another certificate in any case. It may take two minutes.
// CERTIFICATE_FAILED when one could not be had; the one in use goes on.
func (c *Client) RenewCertificates(ctx context.Context, force bool) (CertificateRenewal, error) {
	var out CertificateRenewal
	body := map[string]bool{"force": force}
	_, err := c.do(ctx, call{method: "POST", path: path("admin", "certificate", "renew"), body: body,
		admin: true}, &out)
	return out, err
}
