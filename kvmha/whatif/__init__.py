"""What if: events on a cluster, what Pacemaker makes of them, and what that means in reality."""
