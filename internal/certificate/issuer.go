package certificate

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// issuer asks the authority for the library. The library's own issuer accepts no HTTP
// client: docs/decisions/043.
type issuer struct {
	client    *http.Client
	directory string
	email     string
	version   string
	storage   *storage
	solvers   map[string]acmez.Solver // by the type of a challenge
}

// pollTime is how long the authority may take to check one challenge.
const pollTime = 2 * time.Minute

// acmez returns a client for the protocol.
func (i *issuer) acmez() *acmez.Client {
	return &acmez.Client{
		Client: &acme.Client{Directory: i.directory, HTTPClient: i.client, UserAgent: "amtp/" + i.version,
			PollTimeout: pollTime},
		ChallengeSolvers: i.solvers,
	}
}

// issuance is the issuer for one attempt. It is a certmagic.Issuer.
type issuance struct {
	*issuer
	replaces func() *x509.Certificate // the certificate that the next one replaces, or nil
}

// Issue obtains a certificate for the request.
func (i *issuance) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	key, err := i.account(ctx)
	if err != nil {
		return nil, err
	}
	client := i.acmez()
	// The operator accepted the terms, or there would be no issuer. For a key
	// that it knows the authority answers with the account that there is.
	account := acme.Account{PrivateKey: key, TermsOfServiceAgreed: true}
	if i.email != "" {
		account.Contact = []string{"mailto:" + i.email}
	}
	if account, err = client.NewAccount(ctx, account); err != nil {
		return nil, err
	}
	order, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	order.Replaces = i.replaces()
	chains, err := client.ObtainCertificate(ctx, order)
	if err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return nil, errors.New("the authority sent no certificate")
	}
	if err := serves(csr, chains[0].ChainPEM, i.storage.now()); err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: chains[0].ChainPEM, Metadata: chains[0]}, nil
}

// GetRenewalInfo asks when a certificate should be renewed. It makes the issuer a
// certmagic.RenewalInfoGetter. RFC 9773 §4.
func (i *issuer) GetRenewalInfo(ctx context.Context, c certmagic.Certificate) (acme.RenewalInfo, error) {
	return i.acmez().GetRenewalInfo(ctx, c.Leaf)
}

// clockAhead is how far the authority's clock may be ahead of ours.
const clockAhead = time.Hour

// serves says why a certificate is not the requested one. It would replace one that
// works.
func serves(csr *x509.CertificateRequest, chain []byte, now time.Time) error {
	block, _ := pem.Decode(chain)
	if block == nil {
		return errors.New("the authority sent no certificate in PEM form")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("the authority sent a certificate that cannot be read: %w", err)
	}
	public, ok := csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return errors.New("the authority sent a certificate for another key")
	}
	for _, host := range csr.DNSNames {
		if err := leaf.VerifyHostname(host); err != nil {
			return fmt.Errorf("the authority sent a certificate for another host: %w", err)
		}
	}
	if now.After(leaf.NotAfter) || now.Add(clockAhead).Before(leaf.NotBefore) {
		return untimely{fmt.Errorf("the authority sent a certificate that is valid from %s to %s, and that is not now",
			leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))}
	}
	return nil
}

// account returns the key of the account, and generates it at the first use.
func (i *issuer) account(ctx context.Context) (crypto.Signer, error) {
	safe := certmagic.StorageKeys.Safe
	name := path.Join("accounts", safe(i.IssuerKey()), safe(cmp.Or(i.email, "nobody")+".key"))
	encoded, err := i.storage.Load(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		var key crypto.PrivateKey
		if key, err = certmagic.DefaultKeyGenerator.GenerateKey(); err != nil {
			return nil, err
		}
		if encoded, err = certmagic.PEMEncodePrivateKey(key); err == nil {
			err = i.storage.Store(ctx, name, encoded)
		}
	}
	if err != nil {
		return nil, err
	}
	return certmagic.PEMDecodePrivateKey(encoded)
}

// IssuerKey names the authority in the names of the storage.
func (i *issuer) IssuerKey() string {
	u, err := url.Parse(i.directory)
	if err != nil {
		return i.directory
	}
	return u.Host + strings.ReplaceAll(u.Path, "/", "-")
}
