package profile

import "github.com/amtp-go/amtp"

// The names of what can choose a profile. A project's file, which can as well, is named by
// its path.
const (
	ByFlag = "--profile"
	byEnv  = "AMTP_PROFILE"
	ByUse  = `"amtp profile use"`
)

// choose returns the profile to use and what chose it, "" for nothing.
func (g Given) choose(c *File) (name, by string, err error) {
	if name, by, err = g.chosen(c); err == nil && amtp.CheckName(name) != nil {
		err = usagef("Invalid profile name %q, chosen by %s. Use letters, numbers, hyphens, underscores, dots (1-64 chars). Cannot start/end with -, _, or .",
			name, by)
	}
	return name, by, err
}

func (g Given) chosen(c *File) (name, by string, err error) {
	if g.Profile != "" {
		return g.Profile, ByFlag, nil
	}
	if g.File == "" {
		if name := g.Getenv("AMTP_PROFILE"); name != "" {
			return name, byEnv, nil
		}
		if name, file, err := g.allowedProject(c); err != nil || name != "" {
			return name, file, err
		}
	}
	if name := c.Members.Text(MemberProfile); name != "" {
		return name, ByUse, nil
	}
	return Default, "", nil
}
