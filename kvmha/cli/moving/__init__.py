"""What the verbs that move guests share: how a guest and its targets are looked at, forecast, moved and watched."""
