package console

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
)

func syncAt(name string) string { return "/syncs/" + url.PathEscape(name) }

func (c *Console) doRun(ctx context.Context, in map[string]string) (Done, error) {
	if _, err := c.named(ctx, in["sync"]); err != nil {
		return Done{}, err
	}
	err := c.b.Trigger(ctx, in["sync"], in["again"] == "true")
	return Done{true, said["run"], syncAt(in["sync"])}, err
}

func (c *Console) doPause(ctx context.Context, in map[string]string) (Done, error) {
	return c.pause(ctx, in, true)
}

func (c *Console) doResume(ctx context.Context, in map[string]string) (Done, error) {
	return c.pause(ctx, in, false)
}

func (c *Console) pause(ctx context.Context, in map[string]string, paused bool) (Done, error) {
	if _, err := c.named(ctx, in["sync"]); err != nil {
		return Done{}, err
	}
	says := said["resume"]
	if paused {
		says = said["pause"]
	}
	return Done{true, says, syncAt(in["sync"])}, c.b.Pause(ctx, in["sync"], paused, in["why"])
}

func (c *Console) doPreview(ctx context.Context, in map[string]string) (Done, error) {
	if _, err := c.named(ctx, in["sync"]); err != nil {
		return Done{}, err
	}
	return Done{true, "the preview is being made", syncAt(in["sync"]) + "/preview"}, c.b.StartPreview(ctx, in["sync"])
}

func (c *Console) doApprove(ctx context.Context, in map[string]string) (Done, error) {
	if _, err := c.named(ctx, in["sync"]); err != nil {
		return Done{}, err
	}
	_, err := c.b.Approve(ctx, in["sync"], in["digest"])
	return Done{true, said["approve"], syncAt(in["sync"])}, err
}

func (c *Console) doResolve(ctx context.Context, in map[string]string) (Done, error) {
	if _, err := c.named(ctx, in["sync"]); err != nil {
		return Done{}, err
	}
	err := c.b.Resolve(ctx, in["sync"], in["key"], in["field"], in["take"])
	return Done{true, said["resolve"], recordAt(in["sync"], in["key"])}, err
}

func (c *Console) doRestore(ctx context.Context, in map[string]string) (Done, error) {
	id, err := strconv.ParseInt(in["id"], 10, 64)
	if err != nil {
		return Done{}, fmt.Errorf("%w: %q is no number", ErrNotFound, in["id"])
	}
	put, err := c.b.Restore(ctx, id)
	return Done{true, said["restore"], recordAt(put.Sync, put.Key)}, err
}

func (c *Console) doCheck(ctx context.Context, in map[string]string) (Done, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*slow)
	defer cancel()
	return Done{true, "checked", "/connections"}, c.b.Check(ctx, in["name"])
}
