"""Gnomon: does the new version of a service behave like the old one, on real traffic?"""
