"""What is seen in a picture: classifiers, faces, text and perceptual hashes.

Import from the modules: each brings its own runtime.
"""
