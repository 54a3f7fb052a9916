#!/bin/sh
# As Spring Boot's page on class data sharing has it: the archive's jars beside it, and what a start without requests loads kept
# for the next one.
set -eu
mvn -q -B -DskipTests package
rm -rf extracted
java -Djarmode=tools -jar target/fastserve.jar extract --destination extracted
TOKEN_SECRET=of-a-start-that-nobody-asks-anything java -XX:ArchiveClassesAtExit=extracted/fastserve.jsa -Dspring.context.exit=onRefresh \
    -Xlog:cds=error -Xlog:cds+dynamic=error -jar extracted/fastserve.jar > /dev/null
