package certificate

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// issuer asks the authority: docs/decisions/015.
type issuer struct {
	client     *http.Client
	directory  string
	email      string
	version    string
	storage    *storage
	challenges *challenges
}

// pollTime is how long the authority may take to look at one challenge.
const pollTime = 2 * time.Minute

// issue obtains a certificate for the request, and returns it with the chain
// below it in PEM form.
func (i *issuer) issue(ctx context.Context, csr *x509.CertificateRequest) (chain []byte, err error) {
	key, err := i.account(ctx)
	if err != nil {
		return nil, err
	}
	client := &acmez.Client{
		Client: &acme.Client{Directory: i.directory, HTTPClient: i.client, UserAgent: "amtp/" + i.version,
			PollTimeout: pollTime},
		ChallengeSolvers: map[string]acmez.Solver{i.challenges.tells: i.challenges},
	}
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
	return chains[0].ChainPEM, nil
}

// clockAhead is how far the authority's clock may be before ours.
const clockAhead = time.Hour

// serves says why a certificate is not what was asked for: it would take the
// place of one that works.
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

// account returns the key of the account, which is made when it is needed first.
func (i *issuer) account(ctx context.Context) (crypto.Signer, error) {
	name := path.Join("accounts", i.name(), safe(cmp.Or(i.email, "nobody")+".key"))
	stored, err := i.storage.Load(ctx, name)
	if err == nil {
		block, _ := pem.Decode(stored)
		if block == nil {
			return nil, errors.New("the stored key of the authority's account is not in PEM form")
		}
		return x509.ParseECPrivateKey(block.Bytes)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, encoded, err := newKey()
	if err != nil {
		return nil, err
	}
	return key, i.storage.Store(ctx, name, encoded)
}

// newKey makes a private key, and returns it in PEM form as well.
func newKey() (key *ecdsa.PrivateKey, encoded []byte, err error) {
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

// name names the authority in the names of the storage.
func (i *issuer) name() string {
	name := i.directory
	if u, err := url.Parse(i.directory); err == nil {
		name = u.Host + strings.ReplaceAll(u.Path, "/", "-")
	}
	return safe(name)
}
