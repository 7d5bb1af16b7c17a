"""Signals become items: facts (lifecycle), changes of facts (changes), updates (updates), and the Assembler itself."""
