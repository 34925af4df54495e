"""The module call of every kernel that ran."""
