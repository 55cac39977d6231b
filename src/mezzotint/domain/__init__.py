"""The words: frozen values, enums and errors. Imports nothing that acts."""
