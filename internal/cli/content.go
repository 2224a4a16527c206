package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// contentFlags say what a message contains, besides its subject.
type contentFlags struct {
	text, payload         string
	textFile, payloadFile string
	allowEmpty            bool
	given                 []string // the flags above that name content, as typed
}

const contentUsage = "[--text <t> | --text-file <f> | --payload <json> | --payload-file <f>]"

func (f *contentFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.text, "text", "", "the content as text: `TEXT`, word for word; or - for stdin")
	flags.StringVar(&f.textFile, "text-file", "", "the content is the text in `FILE`; - for stdin")
	flags.StringVar(&f.payload, "payload", "", "the content as JSON: `JSON`, word for word; or - for stdin")
	flags.StringVar(&f.payloadFile, "payload-file", "", "the content is the JSON in `FILE`; - for stdin")
	flags.BoolVar(&f.allowEmpty, "allow-empty", false, "send the message even if it has no content")
	before := cmd.PreRun
	cmd.PreRun = func(cmd *cobra.Command, args []string) {
		if before != nil {
			before(cmd, args)
		}
		for _, name := range []string{"text", "text-file", "payload", "payload-file"} {
			if flags.Changed(name) {
				f.given = append(f.given, name)
			}
		}
	}
}

// content returns the payload that the flags name, nil for none.
func (p *program) content(id *profile.Identity, f *contentFlags) (json.RawMessage, error) {
	if len(f.given) > 1 {
		return nil, usageErrorf("Give the content once, not as --%s. %s", strings.Join(f.given, " and --"),
			"Usage: amtp send --to <address> --subject <s> "+contentUsage)
	}
	payload, err := p.namedContent(id, f)
	if err != nil {
		return nil, err
	}
	if isEmpty(payload) && !f.allowEmpty {
		empty := usageErrorf("The message has no content.")
		empty.hint = "give --text, --text-file, --payload or --payload-file; to send it all the same: --allow-empty"
		if len(f.given) > 0 {
			empty.hint = "look why --" + f.given[0] + " is empty; to send it all the same: --allow-empty"
		}
		return nil, empty
	}
	return payload, nil
}

func (p *program) namedContent(id *profile.Identity, f *contentFlags) (json.RawMessage, error) {
	if len(f.given) == 0 {
		return nil, nil
	}
	flag := f.given[0]
	value := map[string]string{"text": f.text, "text-file": f.textFile, "payload": f.payload,
		"payload-file": f.payloadFile}[flag]
	isFile := strings.HasSuffix(flag, "-file")
	if isFile || value == "-" {
		read, err := p.readContent(id, flag, value)
		if err != nil {
			return nil, err
		}
		value = read
	}
	if !utf8.ValidString(value) {
		return nil, usageErrorf("--%s must be text in UTF-8.", flag)
	}
	if strings.HasPrefix(flag, "text") {
		return json.Marshal(map[string]string{"text": value})
	}
	if place := jsonFault(value); place != "" {
		broken := usageErrorf("--%s must be valid JSON: %s.", flag, place)
		if name, is := strings.CutPrefix(value, "@"); is && !isFile {
			broken.hint = "for the JSON in a file, with or without a byte order mark: --payload-file " +
				render.ShellWord(render.Clean(name))
		}
		return nil, broken
	}
	return json.RawMessage(strings.TrimSpace(value)), nil
}

// isEmpty reports whether a payload has no content: none, JSON's null, or a blank text.
// Other JSON is content, even an empty object.
func isEmpty(payload json.RawMessage) bool {
	if len(payload) == 0 || string(payload) == "null" {
		return true
	}
	text, is := render.PayloadText(payload)
	return is && strings.TrimSpace(text) == ""
}

// jsonFault says what is wrong with a JSON document and where, "" when nothing is.
func jsonFault(doc string) string {
	var any json.RawMessage
	err := json.Unmarshal([]byte(doc), &any)
	if err == nil {
		return ""
	}
	var fault *json.SyntaxError
	if !errors.As(err, &fault) {
		return err.Error()
	}
	at := min(max(int(fault.Offset)-1, 0), len(doc))
	line := strings.Count(doc[:at], "\n") + 1
	column := utf8.RuneCountInString(doc[strings.LastIndexByte(doc[:at], '\n')+1:at]) + 1
	return fmt.Sprintf("line %d, column %d: %s", line, column, fault.Error())
}

// readContent reads the file that a flag names, or stdin. It never reads files that are
// private to this program.
func (p *program) readContent(id *profile.Identity, flag, name string) (string, error) {
	from := p.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", usageErrorf("--%s: %v.", flag, err)
		}
		defer file.Close()
		from = file
	}
	if file, is := from.(*os.File); is {
		info, err := file.Stat()
		switch {
		case err != nil:
			return "", usageErrorf("--%s: %v.", flag, err)
		case info.IsDir():
			return "", usageErrorf("--%s: %s is a directory.", flag, name)
		case p.private(id, file, info):
			return "", notForOthers("--%s: %s holds keys or data of this program, which are not sent to anybody.", flag,
				cmp.Or(strings.TrimPrefix(name, "-"), "what stdin reads from"))
		case name == "-" && isTerminal(file):
			p.notef("Type the content; Ctrl-D on a line of its own ends it.\n")
		}
	}
	b, err := io.ReadAll(io.LimitReader(from, amtp.MaxMessageSize+1))
	if err != nil {
		return "", usageErrorf("--%s: %v.", flag, err)
	}
	if len(b) > amtp.MaxMessageSize {
		return "", &failure{exit: exitRefused, code: amtp.CodeMessageTooLarge,
			message: "--" + flag + ": it is larger than 10 MiB, the most that a message holds."}
	}
	return string(plaintext.Content(b)), nil
}

// private reports whether an open file is this program's own: a config file with keys,
// or a file of a data directory. It compares the file and not its name, which may be a
// link, or a descriptor that a shell opened.
func (p *program) private(id *profile.Identity, file *os.File, info os.FileInfo) bool {
	dir, _ := p.dataDir("")
	own := slices.ContainsFunc([]string{id.Path, profile.UsualFile(p.home)}, func(name string) bool {
		its, err := os.Stat(name)
		return err == nil && os.SameFile(its, info)
	})
	return own || datadir.Holds(dir, info) || datadir.Foreign(file.Name()) != nil
}

// notForOthers refuses to send private data of the user.
func notForOthers(format string, args ...any) *failure {
	return &failure{exit: exitRefused, code: codePrivate, message: fmt.Sprintf(format, args...)}
}

// keepsSecrets refuses a message that contains a key of the user's, however the key got
// there: any reader of the message could act as the user.
func (p *program) keepsSecrets(id *profile.Identity, m *amtp.Message) error {
	text := m.Subject + "\n" + asRead(m.Payload) + "\n" + asRead(m.Headers)
	if configKey.MatchString(text) {
		return notForOthers("The message contains an agent's key, as a config file of this program has it. Nothing was sent.")
	}
	for what, key := range p.secrets(id) {
		if len(key) >= shortestSecret && strings.Contains(text, key) {
			return notForOthers("The message contains %s, with which whoever reads it could act in its place. Nothing was sent.",
				what)
		}
	}
	return nil
}

// asRead returns a JSON document and, line by line, every text in it as its reader gets
// it, because JSON can write one character in several ways. A document that is no JSON
// is returned unchanged.
func asRead(doc []byte) string {
	b := new(strings.Builder)
	b.Write(doc)
	tokens := json.NewDecoder(bytes.NewReader(doc))
	for {
		token, err := tokens.Token()
		if err != nil {
			return b.String()
		}
		if text, is := token.(string); is {
			b.WriteString("\n" + text)
		}
	}
}

// configKey finds the key of an agent in the text of a config file, also if that text
// is a JSON string.
var configKey = regexp.MustCompile(`\bapiKey\\?"\s*:\s*\\?"amtp_[A-Za-z0-9_-]{16}`)

// shortestSecret is the length from which a key does not occur in a text by chance, in
// bytes.
const shortestSecret = 16

// secrets are the keys that this user has, each with its name.
func (p *program) secrets(id *profile.Identity) map[string]string {
	list := map[string]string{"the key in AMTP_API_KEY": p.getenv("AMTP_API_KEY"),
		"the admin key in AMTP_ADMIN_KEY": p.getenv("AMTP_ADMIN_KEY")}
	names := []string{profile.Default}
	for name := range id.Profiles {
		names = append(names, name)
	}
	for _, name := range names {
		m, _ := id.Of(name)
		list["the key of the profile "+name] = m.Text(profile.MemberKey)
		list["the admin key of the profile "+name] = m.Text(profile.MemberAdminKey)
	}
	if dir, err := p.dataDir(""); err == nil {
		list["the gateway's admin key"] = datadir.WrittenAdminKey(dir)
	}
	return list
}
