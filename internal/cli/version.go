package cli

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
)

// release is the version that the linker writes into a released program
// (-X …/internal/cli.release=v1.2.3). Nothing else sets it.
var release string

// version is the version of this program.
func version() string {
	if release != "" {
		return release
	}
	return amtp.SoftwareVersion()
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Long:    "Show the version of this program and of the protocol that it speaks.",
		Example: "  amtp version\n  amtp version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if p.json {
				return p.printJSON(map[string]string{
					"version": version(), "protocol": amtp.Version, "go": runtime.Version(),
					"os": runtime.GOOS, "arch": runtime.GOARCH,
				})
			}
			p.printf("amtp %s (AMTP %s, %s %s/%s)\n", version(), amtp.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
