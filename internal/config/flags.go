package config

import (
	"github.com/spf13/pflag"
)

// Names that are needed before the settings are read.
const (
	configFlag      = "config"
	dataDirFlag     = "data-dir"
	dataDirVariable = "AMTP_DATA_DIR"
)

// FlagValues are the flags of one command line, as they were written.
type FlagValues struct {
	set *pflag.FlagSet
}

// Flags adds to fs a flag for every setting that has one, and --config. Their
// values are read by [Load] after fs was parsed; until then they are text, so
// that a bad one is reported together with everything else.
func Flags(fs *pflag.FlagSet) *FlagValues {
	fs.String(configFlag, "", "the configuration `file` (default: "+FileName+" in the data directory)")
	for _, s := range (&Config{}).settings() {
		if s.flag == "" {
			continue
		}
		f := fs.VarPF(&flagText{form: s.value.form}, s.flag, "", s.meaning)
		f.DefValue = s.def
		if s.value.form == booleanForm {
			f.NoOptDefVal = "true"
		}
	}
	return &FlagValues{set: fs}
}

// given returns the text of a flag that stood on the command line.
func (f *FlagValues) given(name string) (string, bool) {
	if f == nil || name == "" || !f.set.Changed(name) {
		return "", false
	}
	return f.set.Lookup(name).Value.String(), true
}

// flagText is a flag whose text is read later. It is a pflag.Value.
type flagText struct {
	form string
	text string
}

func (f *flagText) Set(text string) error { f.text = text; return nil }

func (f *flagText) String() string { return f.text }

func (f *flagText) Type() string { return f.form }
