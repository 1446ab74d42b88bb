"""The agents: for each a table and its actions. What only some actions need is imported in those actions."""
