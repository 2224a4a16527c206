package cli

import (
	"context"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const keysGenerateHelp = `Make a key and print its record, ready for the zone file. It waits next to others that
wait; the present key goes on signing. From then on it is as after "amtp keys rotate".

ES256 is an EC key on P-256, with a record that fits one string of DNS. RS256 is an RSA
key, for those who must have one; its record is split into several strings. Every
gateway of the protocol reads both.

The selector names the key in DNS and in signatures: one label of lower-case letters,
digits and hyphens that no key of the domain had before. By default it is the day.`

func (p *program) keysGenerateCommand() *cobra.Command {
	var algorithm, selector string
	var bits int
	cmd := p.asOperator(&cobra.Command{
		Use:     "generate",
		Short:   "Make a key of the kind that you want",
		Long:    keysGenerateHelp,
		Example: "  amtp keys generate --alg rs256\n  amtp keys generate --alg es256 --selector main-2027",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *admin.Client, _ []string) error {
		n := admin.NewSigningKey{Algorithm: strings.ToUpper(algorithm), Selector: selector, Bits: bits}
		if n.Algorithm != amtp.ES256 && n.Algorithm != amtp.RS256 {
			return usageErrorf("--alg is es256 or rs256, not %q.", algorithm)
		}
		if bits != 0 && (n.Algorithm != amtp.RS256 || !slices.Contains(rsaSizes, strconv.Itoa(bits))) {
			return usageErrorf("--bits is %s, and only with --alg rs256.", strings.Join(rsaSizes, ", "))
		}
		k, err := c.GenerateSigningKey(ctx, n)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(admin.SigningKeyChange{Key: k})
		}
		p.printWaiting(&k)
		return nil
	})
	cmd.Flags().StringVar(&algorithm, "alg", "es256", "`ALGORITHM` of the key: es256 or rs256")
	cmd.Flags().IntVar(&bits, "bits", 0, "`BITS` of an RSA key: 2048, 3072 or 4096 (default 2048)")
	cmd.Flags().StringVar(&selector, "selector", "", "`SELECTOR` of the key (default: the day)")
	return cmd
}

// rsaSizes are the sizes of RSA keys that a gateway makes, in bits.
var rsaSizes = []string{"2048", "3072", "4096"}

const keysImportHelp = `Give the gateway a private key that was made elsewhere, under the selector of its
record. It is sealed like those that the gateway makes, and waits; the file is not
needed. Done again it changes nothing.

When DNS has its record already, as when you move from another gateway, use it at once:

  amtp keys import key.pem --selector k1
  amtp keys use k1 --now

FILE is in PEM form, not encrypted: PRIVATE KEY (PKCS #8), EC PRIVATE KEY or RSA PRIVATE
KEY; - means stdin. The key is an EC key on P-256, which signs ES256, or an RSA key
of 2048 to 8192 bits, which signs RS256. openssl makes them:

  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem

It goes to the gateway over HTTPS, or on this machine. A selector that another key had
is refused with exit code 5.`

func (p *program) keysImportCommand() *cobra.Command {
	var selector string
	cmd := p.asOperator(&cobra.Command{
		Use:     "import FILE",
		Short:   "Bring a key along",
		Long:    keysImportHelp,
		Example: "  amtp keys import key.pem --selector k1\n  openssl genpkey -algorithm RSA | amtp keys import - --selector k2",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, c *admin.Client, args []string) error {
		if selector == "" {
			return usageErrorf("Name the selector under which the key is, or will be, in DNS: --selector k1")
		}
		file, err := p.keyFile(args[0])
		if err != nil {
			return err
		}
		k, err := c.ImportSigningKey(ctx, selector, file)
		if err != nil {
			return err
		}
		if p.json {
			return p.printJSON(admin.SigningKeyChange{Key: k})
		}
		p.printImported(&k)
		return nil
	})
	cmd.Flags().StringVar(&selector, "selector", "", "`SELECTOR` of the key, required")
	return cmd
}

// maxKeyFile bounds a file that is read as a key, in bytes.
const maxKeyFile = 64 << 10

// keyFile reads a private key. It refuses a file that is no key before any of it leaves
// this machine.
func (p *program) keyFile(name string) ([]byte, error) {
	from := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageErrorf("%s", render.Sentence(err))
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			p.notef("Other users of this machine can read %s; once the key is imported, remove it, or: chmod 600 %s\n",
				render.Clean(name), render.Clean(name))
		}
		from = f
	}
	file, err := io.ReadAll(io.LimitReader(from, maxKeyFile+1))
	if err != nil {
		return nil, usageErrorf("%s", render.Sentence(err))
	}
	if _, err := amtp.ParseSigningKey(file); err != nil {
		return nil, usageErrorf("%s cannot be imported: %v", render.Clean(name), err)
	}
	return file, nil
}

func (p *program) printImported(k *admin.SigningKey) {
	if k.State == admin.KeyActive {
		p.printf("The key %s is there already, and signs what is sent.\n", render.Clean(k.Selector))
		return
	}
	p.printf("The key %[1]s (%[2]s) waits; the present one goes on signing. Its record:\n\n  %[3]s\n\nIf it is already in DNS: amtp keys use %[1]s --now\nOtherwise publish it, and an hour after it is visible: amtp keys use %[1]s\n",
		render.Clean(k.Selector), render.Clean(k.Algorithm), zoneLine(k))
}

// waitingKeys are the selectors of keys that may be used or retired.
func (p *program) waitingKeys(ctx context.Context, id *profile.Identity) (list []cobra.Completion) {
	c, ok := p.admin(id)
	if !ok {
		return nil
	}
	known, err := c.SigningKeys(ctx)
	if err != nil {
		return nil
	}
	for _, k := range known.Keys {
		if _, err := amtp.KeyRecordName(k.Selector, "x"); err == nil && k.State == admin.KeyWaiting {
			list = append(list, k.Selector)
		}
	}
	return list
}
