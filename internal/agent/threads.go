package agent

import (
	"context"
	"errors"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Thread returns a page of a thread of a mailbox, as its agent may see it.
func (s *Agents) Thread(ctx context.Context, m Mailbox, id string, f gateway.ThreadFilter) (gateway.ThreadPage,
	error) {
	none := amtp.Errorf(amtp.CodeMessageNotFound,
		"There is no thread with this id, and no message of this id that you sent or received")
	name, err := amtp.ParseMessageID(id)
	if err != nil {
		return gateway.ThreadPage{}, none
	}
	page, err := s.Store.Thread(ctx, m.Acting, name, f)
	if errors.Is(err, gateway.ErrNotFound) {
		return gateway.ThreadPage{}, none
	}
	for i := range page.Messages {
		page.Messages[i] = page.Messages[i].For(gateway.Reader{Agent: m.Agent})
	}
	return page, err
}
