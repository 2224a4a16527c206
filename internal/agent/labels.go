package agent

import (
	"context"
	"errors"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// maxLabelled is how many labels one request adds, and removes, at the most.
const maxLabelled = 2 * gateway.MaxLabels

// Label changes the labels of a message in a mailbox, and returns those that it has then.
func (s *Agents) Label(ctx context.Context, m Mailbox, id string, wanted amtp.LabelChange) (amtp.Labels, error) {
	none := amtp.Errorf(amtp.CodeMessageNotFound, "There is no message with this id that you sent or received")
	messageID, err := amtp.ParseMessageID(id)
	if err != nil {
		return amtp.Labels{}, none
	}
	var change gateway.LabelChange
	if change.Add, err = labels("add", wanted.Add); err == nil {
		change.Remove, err = labels("remove", wanted.Remove)
	}
	if err != nil {
		return amtp.Labels{}, err
	}
	list, err := s.Store.Label(ctx, m.Acting, messageID, change)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		err = none
	case errors.Is(err, gateway.ErrLabels):
		err = amtp.Errorf(amtp.CodeConflict, "A message has %d labels at the most: remove some.", gateway.MaxLabels)
	}
	if list == nil {
		list = []string{}
	}
	return amtp.Labels{MessageID: messageID, Labels: list}, err
}

// labels checks the labels of one member of a request.
func labels(member string, list []string) ([]string, error) {
	if len(list) > maxLabelled {
		return nil, amtp.Errorf(amtp.CodeInvalidRequest, "%s must have %d labels at the most.", member, maxLabelled)
	}
	names := make([]string, len(list))
	for i, s := range list {
		var err error
		if names[i], err = gateway.ParseLabel(s); err != nil {
			return nil, amtp.Errorf(amtp.CodeInvalidRequest, "%s: %v.", member, err)
		}
	}
	return names, nil
}
