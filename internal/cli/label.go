package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

const labelHelp = `Add labels to a message that you received or sent (+NAME), and remove others (-NAME).
Without any it shows those that the message has.

A label has 1 to 64 letters of ASCII, digits and - _ . / and is kept in lower case. A
message has 32 at the most. Labels are yours: the other side never sees them. They stay
when the message is acknowledged. "amtp inbox --label NAME" and "amtp sent --label NAME"
list messages with one.

ID is as for "amtp read". Other flags, such as --json, come before ID or at the end.`

const labelExamples = `  amtp label 1 +todo
  amtp label ID +done -todo
  amtp label ID --json`

func (p *program) labelCommand() *cobra.Command {
	cmd := p.online(&cobra.Command{
		Use:     "label ID [+NAME...] [-NAME...]",
		Short:   "Label a message",
		Long:    labelHelp,
		Example: labelExamples,
		Args: func(cmd *cobra.Command, args []string) error {
			_, flags := labelWords(args)
			if err := cmd.Flags().Parse(flags); err != nil {
				return p.badFlag(cmd, err)
			}
			if rest := cmd.Flags().Args(); len(flags) > 0 && len(rest) > 0 {
				return usageErrorf("Labels come before flags; %q does not.", rest[0])
			}
			return nil
		},
	}, func(ctx context.Context, id *profile.Identity, args []string) error {
		words, _ := labelWords(args)
		if len(words) == 0 {
			return usageErrorf("Message ID is required. Usage: amtp label <message-id> +<label> -<label>")
		}
		var change amtp.LabelChange
		for _, w := range words[1:] {
			switch {
			case strings.HasPrefix(w, "+"):
				change.Add = append(change.Add, w[1:])
			case strings.HasPrefix(w, "-"):
				change.Remove = append(change.Remove, w[1:])
			default:
				return usageErrorf("Write +%s to add the label, or -%s to remove it.", w, w)
			}
		}
		if err := id.Need(profile.MemberGateway, profile.MemberKey); err != nil {
			return err
		}
		return p.label(ctx, id, words[0], change)
	})
	cmd.Flags().SetInterspersed(false) // so that -NAME is no flag
	p.mailboxFlag(cmd)
	return cmd
}

// labelWords splits the arguments into the message with its labels, and the flags behind
// them.
func labelWords(args []string) (words, flags []string) {
	end := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--") })
	if end < 0 {
		return args, nil
	}
	return args[:end], args[end:]
}

func (p *program) label(ctx context.Context, id *profile.Identity, which string, change amtp.LabelChange) error {
	var err error
	if change.Mailbox, err = p.sharedMailbox(ctx, id); err != nil {
		return err
	}
	c := p.client(id)
	has, err := withMessage(ctx, p, id, which, "", func(messageID amtp.MessageID) (amtp.Labels, error) {
		return c.Label(ctx, messageID, change)
	})
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(has)
	}
	text := "no labels"
	if len(has.Labels) > 0 {
		text = strings.Join(has.Labels, ", ")
	}
	p.printf("Message %s: %s\n", render.Clean(string(has.MessageID)), render.Clean(text))
	return nil
}

// sharedMailbox returns the shared mailbox that --mailbox names, the zero address when the
// user's own is meant.
func (p *program) sharedMailbox(ctx context.Context, id *profile.Identity) (amtp.Address, error) {
	if p.mailbox == "" {
		return amtp.Address{}, nil
	}
	return p.self(ctx, id)
}
