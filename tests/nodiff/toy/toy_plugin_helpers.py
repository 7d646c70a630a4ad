"""A pytest plugin with which there is the path ``toy``, from before any test is collected."""

from chiwawa import paths

paths.HOMES["toy"] = "tests.nodiff.toy.toy_path_helpers"
