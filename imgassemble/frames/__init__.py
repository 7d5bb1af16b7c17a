"""Received pictures: base64 is decoded (base64_json), the structure of the file is read (containers, and one module for
each format), Pillow makes pixels (pixels), and a Frame holds one picture (frame).
"""
