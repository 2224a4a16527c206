package cli

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
)

const sendHelp = `Send a message to one or more agents.

The content is a text or any JSON value. TEXT and JSON may be given as they are,
as - for what stands on stdin, or as @FILE for a file; a text that begins with @
is written @@. A text is sent as {"text": TEXT}.

When this command succeeds the gateway has the message on disk. It makes up an
idempotency key, so that its own repetitions after a lost connection never send
twice; give --idempotency-key to repeat the command itself as safely.

Exit code 9 means that some recipients failed; the others have the message.`

const sendExamples = `  amtp send --to bob@localhost --subject Hello --text "Hi from Alice"
  amtp send --to bob@localhost --to carol@localhost --payload '{"task":"review","pr":7}'
  amtp send --to bob@localhost --in-reply-to ID --text @answer.md
  git diff | amtp send --to bob@localhost --text -`

const sendUsage = "Usage: amtp send --to <address> --subject <s> [--text <t> | --payload <json>]"

// sendFlags are the flags of amtp send.
type sendFlags struct {
	to, headers             []string
	subject, text, payload  string
	inReplyTo, key, schema  string
	givenText, givenPayload bool
}

func (p *program) sendCommand() *cobra.Command {
	var f sendFlags
	cmd := p.online(&cobra.Command{
		Use:     "send --to ADDRESS [--text TEXT | --payload JSON]",
		Short:   "Send a message",
		Long:    sendHelp,
		Example: sendExamples,
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, id *identity, _ []string) error {
		return p.send(ctx, id, &f)
	})
	flags := cmd.Flags()
	flags.StringArrayVar(&f.to, "to", nil, "`ADDRESS` of a recipient; may repeat")
	flags.StringVar(&f.subject, "subject", "", "one `LINE` that says what it is about")
	flags.StringVar(&f.text, "text", "", "the content as text: `TEXT`, - for stdin, or @FILE")
	flags.StringVar(&f.payload, "payload", "", "the content as JSON: `JSON`, - for stdin, or @FILE")
	flags.StringVar(&f.inReplyTo, "in-reply-to", "", "`ID` of the message that this one answers")
	flags.StringVar(&f.schema, "schema", "", "`SCHEMA` of the payload, such as agntcy:commerce.order.v1")
	flags.StringArrayVar(&f.headers, "header", nil, "a header, `NAME=VALUE`; may repeat")
	flags.StringVar(&f.key, "idempotency-key", "", "`KEY` under which a repetition of this command is recognised")
	cmd.PreRun = func(*cobra.Command, []string) {
		f.givenText, f.givenPayload = flags.Changed("text"), flags.Changed("payload")
	}
	return cmd
}

func (p *program) send(ctx context.Context, id *identity, f *sendFlags) error {
	if err := id.need(memberGateway, memberAddress); err != nil {
		return err
	}
	m, err := p.compose(f)
	if err != nil {
		return err
	}
	if m.Sender, err = p.self(ctx, id); err != nil {
		return err
	}
	sent, err := p.client(id).Send(ctx, m)
	if err != nil {
		return err
	}
	return p.printSent(sent)
}

// compose makes the message, all but its sender.
func (p *program) compose(f *sendFlags) (m amtp.Message, err error) {
	if m.Recipients, err = recipients(f.to); err != nil {
		return m, err
	}
	if m.Payload, err = p.content(f); err != nil {
		return m, err
	}
	if m.Headers, err = headers(f.headers); err != nil {
		return m, err
	}
	if f.inReplyTo != "" {
		if m.InReplyTo, err = amtp.ParseMessageID(f.inReplyTo); err != nil {
			return m, usageErrorf("--in-reply-to: %v.", err)
		}
	}
	m.Subject, m.Schema, m.IdempotencyKey = f.subject, f.schema, f.key
	return m, nil
}

func recipients(to []string) ([]amtp.Address, error) {
	var list []amtp.Address
	for _, s := range strings.Split(strings.Join(to, ","), ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		a, err := amtp.ParseAddress(s)
		if err != nil {
			return nil, amtp.Errorf(amtp.CodeInvalidRecipient, "The recipient %v.", err)
		}
		list = append(list, a)
	}
	if len(list) == 0 {
		return nil, usageErrorf("--to is required. %s", sendUsage)
	}
	return list, nil
}

// content returns the payload, nil for none.
func (p *program) content(f *sendFlags) (json.RawMessage, error) {
	switch {
	case f.givenText && f.givenPayload:
		return nil, usageErrorf("Give --text or --payload, not both. %s", sendUsage)
	case f.givenPayload:
		s, err := p.argument("payload", f.payload)
		if err != nil {
			return nil, err
		}
		if !json.Valid([]byte(s)) {
			return nil, usageErrorf("--payload must be valid JSON.")
		}
		return json.RawMessage(s), nil
	case f.givenText:
		s, err := p.argument("text", f.text)
		if err != nil {
			return nil, err
		}
		if !utf8.ValidString(s) {
			return nil, usageErrorf("--text must be text in UTF-8.")
		}
		return json.Marshal(map[string]string{"text": s})
	}
	return nil, nil
}

// argument returns the value of a flag, or what it refers to.
func (p *program) argument(flag, value string) (string, error) {
	var from io.Reader
	name, isFile := strings.CutPrefix(value, "@")
	switch {
	case value == "-":
		from = p.stdin
	case isFile && strings.HasPrefix(name, "@"):
		return name, nil
	case isFile:
		file, err := os.Open(name)
		if err != nil {
			f := usageErrorf("--%s: %v.", flag, err)
			f.hint = "@ means a file; write @@ for a text that begins with @"
			return "", f
		}
		defer file.Close()
		from = file
	default:
		return value, nil
	}
	b, err := io.ReadAll(io.LimitReader(from, amtp.MaxMessageSize+1))
	if err != nil {
		return "", usageErrorf("--%s: %v.", flag, err)
	}
	if len(b) > amtp.MaxMessageSize {
		return "", &failure{exit: exitRefused, code: amtp.CodeMessageTooLarge, message: "--" + flag + ": it is larger than 10 MiB, the most that a message holds."}
	}
	return string(b), nil
}

func headers(list []string) (json.RawMessage, error) {
	if len(list) == 0 {
		return nil, nil
	}
	members := make(map[string]string, len(list))
	for _, h := range list {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, usageErrorf("--header: write name=value, not %q.", h)
		}
		if _, twice := members[name]; twice {
			return nil, usageErrorf("--header: %q is given twice.", name)
		}
		members[name] = value
	}
	return json.Marshal(members)
}

// printSent prints the gateway's answer; some failed recipients make it a
// failure although the message was sent.
func (p *program) printSent(sent amtp.SendResult) error {
	failed := 0
	for _, r := range sent.Recipients {
		if r.Status == amtp.StatusFailed {
			failed++
		}
	}
	if p.json {
		err := p.printJSON(struct {
			amtp.SendResult
			Replayed bool `json:"replayed"`
		}{sent, sent.Replayed})
		if err != nil {
			return err
		}
	} else {
		p.printSentText(sent, failed)
	}
	if failed > 0 {
		return told(exitPartly)
	}
	return nil
}

func (p *program) printSentText(sent amtp.SendResult, failed int) {
	if failed == 0 {
		p.printf("Message sent successfully.\n")
	} else {
		p.printf("Message sent, but not to %s.\n", plural(failed, "recipient"))
	}
	p.printf("  ID:     %s\n  Status: %s\n", clean(string(sent.MessageID)), clean(string(sent.Status)))
	for _, r := range sent.Recipients {
		p.printf("  -> %s: %s", clean(r.Address.String()), clean(string(r.Status)))
		if r.ErrorMessage != "" {
			p.printf(" error: %s", clean(r.ErrorMessage))
		}
		p.printf("\n")
	}
	if sent.Replayed {
		p.notef("The gateway had this message already; nothing was sent twice.\n")
	}
}
