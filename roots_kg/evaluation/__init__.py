"""Judging models: does the knowledge help?"""
