package config

import (
	"path/filepath"
	"strings"

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
	set   *pflag.FlagSet
	where bool // whether only the flags count that say where the file is
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
	if f == nil || name == "" || !f.set.Changed(name) || f.where && name != configFlag && name != dataDirFlag {
		return "", false
	}
	return f.set.Lookup(name).Value.String(), true
}

// Where returns only the flags that say where the file is.
func (f *FlagValues) Where() *FlagValues { return &FlagValues{set: f.set, where: true} }

// Changes returns the settings of the other flags as changes of the file. File names
// are made absolute, because a gateway may start in another directory.
func (f *FlagValues) Changes() ([]Change, error) {
	var list []Change
	for _, s := range (&Config{}).settings() {
		text, ok := f.given(s.flag)
		if !ok || s.flag == dataDirFlag {
			continue
		}
		if s.value.form == pathForm && text != "" {
			var err error
			if text, err = filepath.Abs(text); err != nil {
				return nil, err
			}
		}
		section, key, _ := strings.Cut(s.path, ".")
		list = append(list, Change{Section: section, Key: key, Value: text})
	}
	return list, nil
}

// flagText is a flag whose text is read later. It is a pflag.Value.
type flagText struct {
	form string
	text string
}

func (f *flagText) Set(text string) error { f.text = text; return nil }

func (f *flagText) String() string { return f.text }

func (f *flagText) Type() string { return f.form }
