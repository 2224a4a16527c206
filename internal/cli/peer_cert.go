package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/privateca"
	"github.com/amtp-go/amtp/internal/render"
)

// The files of "amtp peer cert".
const (
	peerCertFile = "gateway.crt"
	peerKeyFile  = "gateway.key"
)

func (p *program) peerCertCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "cert HOST…",
		Short: "Make a certificate for a gateway without a public name",
		Long: `Make a certificate that only those trust who know its pin: for a gateway on a
network of one's own, where no authority issues one. Each HOST is an address or a
name of this machine; this machine's own names for itself are added.

Two files are written, gateway.crt and gateway.key, into the data directory unless
--out says another. They hold for ten years. What is there already is never
replaced: a new key would be another pin, which every peer would have to be told.`,
		Example: "  amtp peer cert 192.168.1.7\n  amtp serve --domain here.lan --address :8443 --tls-cert ~/.local/share/amtp/gateway.crt --tls-key ~/.local/share/amtp/gateway.key",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, hosts []string) error {
			if dir == "" {
				var err error
				if dir, err = p.dataDir(""); err != nil {
					return err
				}
			}
			return p.makeCert(dir, hosts)
		},
	}
	cmd.Flags().StringVar(&dir, "out", "", "`DIR` for the files (default: the data directory)")
	return cmd
}

// ownNames are the names of a machine for itself.
var ownNames = []string{"localhost", "127.0.0.1", "::1"}

func (p *program) makeCert(dir string, hosts []string) error {
	for _, h := range ownNames {
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &failure{exit: exitInternal, code: "NOT_WRITTEN", message: render.Sentence(err)}
	}
	certFile, keyFile := filepath.Join(dir, peerCertFile), filepath.Join(dir, peerKeyFile)
	cert, err := privateca.Self(hosts, certFile, keyFile)
	switch {
	case errors.Is(err, fs.ErrExist):
		return &failure{exit: exitConflict, code: codeExists, message: render.Sentence(err),
			hint: "use the one that is there: amtp peer self prints its pin. For another one, move the two files away first"}
	case err != nil:
		return &failure{exit: exitInternal, code: "NOT_WRITTEN", message: render.Sentence(err)}
	}
	pin := amtp.PinOf(cert)
	if p.json {
		return p.printJSON(map[string]string{"cert_file": certFile, "key_file": keyFile, "pin": pin.String()})
	}
	p.printf("Certificate: %s\nKey:         %s\nPin:         %s\n", render.Clean(certFile), render.Clean(keyFile), pin)
	p.printf("\nStart the gateway with it:\n  amtp serve --domain DOMAIN --address :8443 --tls-cert %s --tls-key %s\n",
		render.Clean(certFile), render.Clean(keyFile))
	p.printf("The commands on this machine know it by its pin:\n  amtp setup --name NAME --gateway https://127.0.0.1:8443 --pin %s\n",
		pin)
	return nil
}
