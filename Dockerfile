# A gateway in a container that holds nothing but the program:
#
#   docker build -t amtp .
#   docker run -v amtp:/data -p 127.0.0.1:8080:8080 -e AMTP_TLS_ENABLED=false amtp
#
# The build needs the base image and the module proxy, no other network. Behind
# AMTP_TLS_ENABLED=false stands a proxy with TLS; without one give
# AMTP_DOMAIN, AMTP_TLS_CERT_FILE and AMTP_TLS_KEY_FILE. Health: GET /ready.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/amtp-go/amtp/internal/cli.release=${VERSION}" -o /out/amtp ./cmd/amtp \
	&& mkdir -p /out/own && mkdir -m 0700 /out/own/data /out/own/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /out/amtp /amtp
COPY --from=build --chown=65532:65532 /out/own/ /
USER 65532:65532
ENV AMTP_DATA_DIR=/data \
	AMTP_SERVER_ADDRESS=:8080
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/amtp"]
CMD ["serve"]
