"""Classification of pictures: classifiers, faces, text and perceptual hashes.

Import from the modules: each brings its own runtime.
"""
