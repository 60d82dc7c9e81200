"""Ruby gems."""

from tests.unit.analysis.layers import names, reasons, run

SPEC = b"""# -*- encoding: utf-8 -*-
# stub: rails 7.0.4 ruby lib

Gem::Specification.new do |s|
  s.name = "rails".freeze
  s.version = "7.0.4"
  s.required_rubygems_version = Gem::Requirement.new(">= 1.8.11".freeze)
  s.licenses = ["MIT".freeze]
  s.add_runtime_dependency(%q<name>.freeze, ["= 1"])
end
"""
LOCK = b"""GEM
  remote: https://rubygems.org/
  specs:
    actionpack (7.0.4)
      rack (~> 2.0)
    nokogiri (1.15.4-x86_64-linux)

DEPENDENCIES
  rails (~> 7)
"""


def test_specifications_are_read_without_running_them() -> None:
    path = b"usr/local/bundle/specifications/rails-7.0.4.gemspec"
    (package,) = run("ruby", {path: SPEC}).packages
    assert (package.name, package.version, package.licence) == ("rails", "7.0.4", "MIT")
    assert package.purl == "pkg:gem/rails@7.0.4"


def test_default_gems_count_and_specifications_of_sources_do_not() -> None:
    assert run("ruby", {b"usr/lib/ruby/specifications/default/a.gemspec": SPEC}).packages
    assert run("ruby", {b"app/rails.gemspec": SPEC}).package_files == ()


def test_lock_files_name_gems_not_requirements() -> None:
    facts = run("ruby", {b"app/Gemfile.lock": LOCK})
    assert names(facts.packages) == [("actionpack", "7.0.4"), ("nokogiri", "1.15.4")]


def test_hostile_white_space_ends_in_time() -> None:
    for data in (
        b"\n" * 1_000_000,
        b" " * 1_000_000,
        b"s" * 1_000_000,
        b"s.name = [" * 90_000,
        b"s.name = Gem::Version.new" + b" " * 900_000,
    ):
        assert reasons(run("ruby", {b"specifications/x.gemspec": data}))


def test_a_specification_that_computes_its_name_is_reported() -> None:
    data = b"Gem::Specification.new { |s| s.name = 'a' + 'b'; s.version = VERSION }"
    assert reasons(run("ruby", {b"specifications/x.gemspec": data}))
