package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/operate"
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

const versionHelp = `Show the version of this program and of the protocol that it speaks.

With --json also the commit that it was built from and that commit's time, when
it was built in a clone, and the number of the database's schema: a data
directory with a higher one needs a newer release.`

// provenance is a program's knowledge of its origin.
type provenance struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`   // absent when it was not built in a clone
	Date     string `json:"date,omitempty"`     // of the commit
	Modified bool   `json:"modified,omitempty"` // built from more than the commit
	Protocol string `json:"protocol"`
	Schema   int64  `json:"schema"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Long:    versionHelp,
		Example: "  amtp version\n  amtp version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := provenance{
				Version: version(), Protocol: amtp.Version, Schema: operate.Schema(),
				Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
			}
			if info, ok := debug.ReadBuildInfo(); ok {
				v.stamp(info.Settings)
			}
			if p.json {
				return p.printJSON(v)
			}
			p.printf("amtp %s (AMTP %s, %s %s/%s)\n", v.Version, v.Protocol, v.Go, v.OS, v.Arch)
			return nil
		},
	}
}

// versionFlag adds --version to the program. Cobra's own would be obeyed before
// the arguments are looked at.
func (p *program) versionFlag(root *cobra.Command) {
	asked := root.Flags().BoolP("version", "v", false, "version for amtp")
	run := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *asked && len(args) == 0 {
			p.printf("amtp version %s\n", version())
			return nil
		}
		return run(cmd, args)
	}
}

// stamp takes what go build wrote into the program about the clone.
func (v *provenance) stamp(settings []debug.BuildSetting) {
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Date = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
}
